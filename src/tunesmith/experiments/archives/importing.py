"""Experiments from their folders back into a store, as after the database was lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tunesmith.experiments.lifecycle.reconcile import is_alive
from tunesmith.experiments.lifecycle.states import S
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.machine import is_this_machine
from tunesmith.messages import say
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store


def import_folder(folder: Path, store: Store) -> Experiment:
    """Put the experiment in `folder` into the store, as its files tell it; twice is harmless.

    An experiment that the store knows further on than its files is left as it is; and what people
    say of it where no file holds that.

    Raises DataError when the folder holds no experiment.
    """
    files = ExperimentFolder(folder)
    experiment = files.read_record()
    here = is_this_machine(experiment.machine, experiment.host)
    known = store.known(experiment.id)
    if known and (known.status.is_live or experiment.status.is_live):
        return known
    if known and not files.about.exists():
        experiment = replace(experiment, name=known.name, note=known.note, tags=known.tags)
    if experiment.status.is_live and here and not is_alive(experiment):
        experiment = replace(
            experiment, status=S.FAILED, lease=None, reason=say("It ended without a word.")
        )
    store.put(experiment, list(files.read_history(experiment.id)))
    return experiment
