"""An experiment's log in the terminal, wherever it is written: here, or beyond the object store."""

from __future__ import annotations

import codecs
import sys
import time

from tunesmith.cli.console.output import echo, gettext, is_unread
from tunesmith.cli.console.waiting import standing
from tunesmith.errors import NotFoundError
from tunesmith.experiments.lifecycle.reconcile import Reconciler
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import LOG
from tunesmith.files.mirror import INTERVAL as COPY_INTERVAL
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

INTERVAL = 0.5
"""Seconds between two looks at a log that is followed."""


def show_log(experiment: Experiment, store: Store, settings: Settings, lines: int) -> None:
    """Print the last `lines` lines. Raises NotFoundError where there are none yet."""
    if not _Log(experiment, settings).show(lines):
        raise _no_log(experiment, settings, standing(experiment, store, settings))


def follow_log(experiment: Experiment, store: Store, settings: Settings, lines: int) -> None:
    """Print the last `lines` lines, then all others as they come, until the experiment has ended.

    Before there is a log, what it waits for goes to standard error. Raises NotFoundError when it
    ends without one.
    """
    watcher = Reconciler(store, settings)
    log, said = _Log(experiment, settings), ""
    shown = log.show(lines)
    while experiment.status.is_live and not is_unread():
        waits = standing(experiment, store, settings)
        waits = waits or gettext("{status}, no log yet", status=experiment.status)
        if not shown and waits != said:
            said = waits
            echo(f"{experiment.name}  {waits}", err=True)
        time.sleep(log.interval)
        watcher.round()
        # Read after asking, so that the lines of the very end are shown too.
        experiment = store.get(experiment.id)
        log.experiment = experiment
        shown = log.show() or shown
    if not log.folder.is_here:  # its last lines are copied after its end was recorded
        time.sleep(log.interval)
        shown = log.show() or shown
    if not shown:
        raise _no_log(experiment, settings, None)


class _Log:
    """A log, and how much of it was shown."""

    def __init__(self, experiment: Experiment, settings: Settings) -> None:
        self.experiment = experiment
        self._settings = settings
        self._copies = Copies.of(settings)
        self._seen = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def folder(self) -> ExperimentFolder:
        """The experiment's, on this machine or in the object store."""
        return ExperimentFolder.of(self.experiment, self._settings, self._copies)

    @property
    def interval(self) -> float:
        """Seconds after which there may be something new."""
        return INTERVAL if self.folder.is_here else COPY_INTERVAL

    def show(self, lines: int | None = None) -> bool:
        """Print what came since, or the last `lines` of it; False where nothing did."""
        found, _ = self.folder.read_log(self._seen, sys.maxsize)
        self._seen += len(found)
        text = self._decoder.decode(found)
        shown = text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])
        echo(shown, nl=False)
        return bool(text)


def _no_log(experiment: Experiment, settings: Settings, waits: str | None) -> NotFoundError:
    where = f"{experiment.directory}/{LOG}"
    if settings.artifacts:
        where += f", {settings.artifacts}"
    why = f": {waits}" if waits else ""
    return NotFoundError(
        "experiment {id} has no log yet{why} ({where}).", id=experiment.id, why=why, where=where
    )
