"""Versions of datasets, and where they are kept."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "the dataset {name}",
    "the datasets in {folder}",
    "{what} is damaged: {reason}",
    "{what} is damaged: commit {n} is unreadable",
    "{what} is damaged: its file {name} is cut short",
    "{what} is damaged: its file {name} is missing",
    "{what} is damaged: rows of {reference} are missing",
    "{what} can't be written: {reason}",
    "{what} can't be written: other processes committed first, {n} times",
    "{what} can't be read: {reason}",
    "{what} was written by a newer Tunesmith; upgrade this one",
    "{what} is a Delta table that Tunesmith didn't make; choose another name",
    "{error}; look at AWS_ACCESS_KEY_ID",
    "{error}; look at AWS_SECRET_ACCESS_KEY",
    "{error}; these credentials may not do that",
    "{error}; look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do",
    "{error}; make the bucket, or name another",
    "{error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "{error}; for an endpoint with http:// set AWS_ALLOW_HTTP=true",
    "{error}; look at AWS_ENDPOINT_URL",
    "{error}; look at AWS_ENDPOINT_URL and the network",
    "{error}; free some space",
    "a dataset can't be called {name}: it would be taken for a file; leave the ending {ending} "
    "away",
    "a tag can't be called {name}, which has a meaning of its own",
    "1 to 100 letters, digits, _, . and -, of which a letter or digit is the first",
    "dataset versions can't be kept in {folder}: Delta Lake can't use a folder with {what} in "
    "its path",
    "dataset versions can't be kept at this address; accepted: a folder, or s3://bucket/prefix "
    "of plain letters, digits and . _ = -, with credentials in AWS_… variables",
    "the dataset {name} is {who}'s, whose bare name a new version would change: {other} may "
    "add versions only to datasets of their own; choose another name.",
    "nobody",
    "{name}: the data have no rows, of which a version needs at least one",
    "there is no version {reference} with the content {hash} in {folder}",
    "{name} has no tag {tag}; did you mean {near}?",
    "{name} has no tag {tag}; there is: {names}",
    "{reference} has no split {split}; it has {names}",
    "there is no such dataset: {error}",
    "only the first {n} of {total} pairs of rows were compared for edits",
    "can't be set for an upload",
    "such as reviews",
    "an upload can't be written: {error}",
)
