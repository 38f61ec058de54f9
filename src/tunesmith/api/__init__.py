"""The REST API: thin routes over the store, the life of an experiment, and the data."""
