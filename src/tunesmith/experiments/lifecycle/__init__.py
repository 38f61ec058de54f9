"""The life of an experiment: submitted, prepared, executed, ended, and who may change it."""
