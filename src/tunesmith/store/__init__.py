"""The store: the record of experiments, data versions, sweeps, the registry and access in SQL."""
