"""Where a waiting experiment stands in its queue, and what keeps it from being taken, in words."""

from __future__ import annotations

from tunesmith.cli.console.output import gettext, localized
from tunesmith.errors import NotFoundError
from tunesmith.messages import joined
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store


def standing(experiment: Experiment, store: Store, settings: Settings) -> str | None:
    """`number 2 in queue cpu`, then what holds it up; None when it waits in no queue.

    Raises StorageError.
    """
    if experiment.status is not ExperimentStatus.QUEUED or experiment.queue is None:
        return None
    reasons = Outlook(store, settings).obstacles(experiment)
    return localized(joined([position(experiment, store), *reasons], "; "))


def position(experiment: Experiment, store: Store) -> str:
    """`number 2 in queue cpu`; the queue alone when it was taken at this moment."""
    number = store.queue.positions([experiment.id]).get(experiment.id)
    queue = gettext("in queue {queue}", queue=experiment.queue)
    if number is None:
        return queue
    return gettext("number {position} {queue}", position=number, queue=queue)


class Outlook:
    """Queues and workers at one moment. Raises StorageError."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._patience = settings.lease_seconds
        self.queues = {state.name: state for state in store.queue.states()}
        self.workers = store.queue.workers()

    def is_silent(self, worker: Worker) -> bool:
        """Whether `worker` seems to be gone."""
        return worker.silence.total_seconds() > self._patience

    def obstacles(self, experiment: Experiment) -> list[str]:
        """What keeps an experiment from being taken, whatever its position in its queue."""
        name = str(experiment.queue)
        found = []
        if (state := self.queues.get(name)) and state.paused:
            by = gettext(" by {paused_by}", paused_by=state.paused_by) if state.paused_by else ""
            found.append(gettext("the queue is paused") + by)
        if before := self._unfinished(experiment.runs_after):
            found.append(
                gettext(
                    "it runs after {id} ({name}), which is {status}",
                    id=before.id,
                    name=before.name,
                    status=before.status,
                )
            )
        if not any(name in w.queues and not self.is_silent(w) for w in self.workers):
            kind = gettext("worker with a GPU") if name == "gpu" else gettext("worker")
            found.append(gettext("no {kind} takes from it", kind=kind))
        return found

    def _unfinished(self, experiment_id: str | None) -> Experiment | None:
        """The experiment, unless it has ended or is no more."""
        if experiment_id is None:
            return None
        try:
            found = self._store.get(experiment_id)
        except NotFoundError:
            return None
        return found if found.status.is_live else None
