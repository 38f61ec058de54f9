"""The store, files of experiments, and copies of them."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "The disk of the server is full: nothing can be written until there is room. `tunesmith gc` "
    "shows what may go.",
    "The store {name} can't be used: {reason}.",
    "another process has kept it locked for too long; try again when that one is done",
    "the disk is full; free some space",
    "it may not be written to; change the permissions of the file and its folder, or name "
    "another store",
    "the file can't be opened or made; look at the permissions of its folder",
    "the file may not be opened; look at its permissions",
    "the disk refused to read or write; look for a full or failing disk",
    "the file is not an SQLite database; name another store, or move the file away",
    "the file is damaged; put back a copy, or move it away and rebuild it from the results "
    "with `tunesmith experiments import`",
    "{why} (SQLite says: {error})",
    "The store {name} was written by a newer Tunesmith: its schema is {revision}, and this "
    "version knows schemas up to {known}. Upgrade Tunesmith, or name another store.",
    "Experiment {id} is recorded already.",
    "Experiment {id} is not recorded any more.",
    "Experiment {id} has no queue to wait in.",
    "Experiment {id} ({name}) may not be written by this process any more: {why}.",
    "another process was given it, and runs it now{who}",
    "by worker {worker}",
    "it is {status} now",
    "experiment {id} was given to another process, or the store could not be reached for too "
    "long: this one trains it no longer.",
    "experiment {id} is {status} and can't become {to}.",
    "There is no experiment {id}: none is recorded yet.",
    "did you mean {near}?",
    "the newest is {id} ({name}).",
    "Several experiments begin with {prefix}: {names}.",
    "There is no queue {name}; {hint}",
    "there are {names}.",
    "The experiment has no tag {tag}; {hint}",
    "its tags: {names}.",
    "experiments can't be sorted by this",
    "the time has no zone",
    "the text is too long",
    "at most {n} characters",
    "must not be negative",
    "must be a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z",
    "is in no year from 1 to 9999, in UTC",
    "TUNESMITH_ARTIFACTS can't be used; it is an address such as s3://bucket/prefix",
    "the files of {name}",
    "files of {name}",
    "the copied folders",
    "the mark that {name} is deleted",
    "{what} can't be {verb} in {address}: {error}",
    "{path} of {name} can't be {verb} in {address}: {error}",
    "{folder} can't be deleted: {error}",
    "{folder} can't be made: {error}",
    "{path} can't be written: {error}",
    "the results folder {folder} can't be written: {error}. Set TUNESMITH_RESULTS_DIR to a "
    "folder of yours.",
    "{folder} can't be written: {error}. Set TUNESMITH_RESULTS_DIR to a folder of yours.",
    "{error} ({folder}, {free} MB free).",
    "experiment {id} has no file {name}; GET /experiments/{same}/files lists them.",
    "experiment {id} has no adapter: it is {status}.",
    "the file {name} was removed in this moment.",
    "line {line} of {name} of experiment {id} can't be read",
    "{name} of experiment {id} can't be read: {error}",
)
