"""A package of somebody else's, with a task, a rule and an exporter for Tunesmith."""
