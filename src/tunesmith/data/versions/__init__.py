"""States of a dataset, kept for good as Delta Lake tables.

store.py         recording, finding, reading, tagging and restoring versions
log.py           what the commits of one table say of versions, tags and the current one
root.py          the folder or S3 bucket that holds the tables
names.py         names of datasets, tags and versions
delta_types.py   Arrow tables as Delta Lake can store them
delta_errors.py  what goes wrong with tables and buckets, in a sentence
diff.py          what changed from one version to another
row_changes.py   which rows are the same, moved, relabelled, edited
row_keys.py      rows by the hash of their values
"""
