"""States of a dataset, kept for good as Delta Lake tables."""
