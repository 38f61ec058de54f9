"""What is asked: the configuration of an experiment, its schema and its YAML."""
