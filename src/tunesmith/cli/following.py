"""An experiment's log in the terminal, wherever it is written: here, or beyond the object store."""

from __future__ import annotations

import codecs
import sys
import time

from tunesmith.api.folder import LOG, ExperimentFolder
from tunesmith.cli.output import echo, is_unread
from tunesmith.cli.waiting import standing
from tunesmith.errors import NotFoundError
from tunesmith.experiments.mirroring import INTERVAL as COPY_INTERVAL
from tunesmith.experiments.reconcile import Reconciler
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.store import Store

INTERVAL = 0.5
"""Seconds between two looks at a log that is followed."""


def show_log(experiment: Experiment, store: Store, settings: Settings, lines: int) -> None:
    """Print the last `lines` lines. Raises NotFoundError where there are none yet."""
    if not _Log(experiment, settings).show_last(lines):
        raise _no_log(experiment, settings, standing(experiment, store, settings))


def follow_log(experiment: Experiment, store: Store, settings: Settings, lines: int) -> None:
    """Print the last `lines` lines, then all others as they come, until the experiment has ended.

    Before there is a log, what it waits for goes to standard error. Raises NotFoundError when it
    ends without one.
    """
    watcher = Reconciler(store, settings)
    log, said = _Log(experiment, settings), ""
    shown = log.show_last(lines)
    while experiment.status.is_live and not is_unread():
        waits = standing(experiment, store, settings) or f"{experiment.status}, no log yet"
        if not shown and waits != said:
            said = waits
            echo(f"{experiment.name}  {waits}", err=True)
        time.sleep(log.interval)
        watcher.round()
        # Read after asking, so that the lines of the very end are shown too.
        experiment = store.get(experiment.id)
        log.experiment = experiment
        shown = log.show_news() or shown
    if not log.is_here:  # its last lines are copied after its end was recorded
        time.sleep(log.interval)
        shown = log.show_news() or shown
    if not shown:
        raise _no_log(experiment, settings, None)


class _Log:
    """A log, and how much of it was shown."""

    def __init__(self, experiment: Experiment, settings: Settings) -> None:
        self.experiment = experiment
        self._copies = Artifacts(settings.artifacts) if settings.artifacts else None
        self._results = settings.results_dir
        self._seen = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def _folder(self) -> ExperimentFolder:
        return ExperimentFolder(self.experiment, self._copies, self._results)

    @property
    def is_here(self) -> bool:
        """Whether it is read from this machine's files, not from the object store."""
        return self._folder.is_here

    @property
    def interval(self) -> float:
        """Seconds after which there may be something new."""
        return INTERVAL if self.is_here else COPY_INTERVAL

    def show_last(self, lines: int) -> bool:
        """Print the last lines; False where there is nothing."""
        text = self._read()
        echo("".join(text.splitlines(keepends=True)[-lines:]), nl=False)
        return bool(text)

    def show_news(self) -> bool:
        """Print what came since; False where nothing did."""
        text = self._read()
        echo(text, nl=False)
        return bool(text)

    def _read(self) -> str:
        folder = self._folder
        found, _ = folder.read_log(self._seen, sys.maxsize)
        self._seen += len(found)
        return self._decoder.decode(found)


def _no_log(experiment: Experiment, settings: Settings, waits: str | None) -> NotFoundError:
    where = f"{experiment.directory}/{LOG}"
    if settings.artifacts:
        where += f", {settings.artifacts}"
    why = f": {waits}" if waits else ""
    return NotFoundError(f"experiment {experiment.id} has no log yet{why} ({where}).")
