"""Where a waiting experiment stands in its queue, and what keeps it from being taken, in words."""

from __future__ import annotations

from tunesmith.errors import NotFoundError
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.service_entities import Worker
from tunesmith.tracking.store import Store


def standing(experiment: Experiment, store: Store, settings: Settings) -> str | None:
    """`number 2 in queue cpu`, then what holds it up; None when it waits in no queue.

    Raises StorageError.
    """
    if experiment.status is not ExperimentStatus.QUEUED or experiment.queue is None:
        return None
    reasons = Outlook(store, settings).obstacles(experiment)
    return "; ".join([place(experiment, store), *reasons])


def place(experiment: Experiment, store: Store) -> str:
    """`number 2 in queue cpu`; the queue alone when it was taken at this moment."""
    position = store.jobs.positions([experiment.id]).get(experiment.id)
    queue = f"in queue {experiment.queue}"
    return queue if position is None else f"number {position} {queue}"


class Outlook:
    """Queues and workers at one moment. Raises StorageError."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._patience = settings.lease_seconds
        self.queues = {state.name: state for state in store.jobs.states()}
        self.workers = store.jobs.workers()

    def is_silent(self, worker: Worker) -> bool:
        """Whether `worker` seems to be gone."""
        return worker.silence.total_seconds() > self._patience

    def obstacles(self, experiment: Experiment) -> list[str]:
        """What keeps an experiment from being taken, whatever its place in its queue."""
        name = str(experiment.queue)
        found = []
        if (state := self.queues.get(name)) and state.paused:
            found.append("the queue is paused" + (f" by {state.paused_by}" * bool(state.paused_by)))
        if before := self._unfinished(experiment.runs_after):
            found.append(f"it runs after {before.id} ({before.name}), which is {before.status}")
        if not any(name in w.queues and not self.is_silent(w) for w in self.workers):
            kind = "worker with a GPU" if name == "gpu" else "worker"
            found.append(f"no {kind} takes from it")
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
