"""The worker: hears that there is work, takes the best of it, and has it trained.

Celery brings the messages, in a thread of its own; each slot is a thread that takes experiments
from the store and supervises them, one after the other. So a broker that is gone delays nothing by
more than a maintenance round, and a training that lasts for days occupies nothing of Celery's.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from celery.worker import WorkController
from celery.worker import state as celery_state

from tunesmith.errors import ServiceError, StorageError
from tunesmith.experiments.lifecycle.states import new_lease, this_process
from tunesmith.jobs.devices import Slot, detect_devices, has_gpu, make_slots
from tunesmith.jobs.logs import about, log
from tunesmith.jobs.queue import TASK, Notifier, broker_queue, make_celery
from tunesmith.jobs.signals import StopSignals
from tunesmith.jobs.workers.maintenance import Maintenance
from tunesmith.jobs.workers.supervisor import Supervision
from tunesmith.jobs.workers.usage import UsageMeter
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import VERSION, Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store
from tunesmith.training.reporting.reporter import Phase

LISTEN_PAUSE = 5.0
"""Seconds until a Celery that gave up is started again."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds that a slot waits after a training that ended without a word: each time twice as long."""

FAREWELL = 15.0
"""Seconds beyond `cancel_grace_seconds` that trainings get to be given back at the end."""


def run_worker(
    settings: Settings,
    *,
    name: str | None = None,
    queues: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    slots: int | None = None,
) -> None:
    """Take experiments and train them, until SIGTERM or Ctrl-C; a second one ends it at once.

    `devices` are found when they aren't given; `queues` are then `gpu` and `cpu` with a GPU, else
    `cpu`; `slots` is one for each device. Runs in a process's main thread.

    Raises DeviceError when the devices can't serve the queues, StorageError when the store can't be
    opened, and ServiceError when a thread of it died of a mistake.
    """
    devices = tuple(devices) if devices else detect_devices()
    queues = tuple(queues) if queues else (("gpu", "cpu") if has_gpu(devices) else ("cpu",))
    rooms = make_slots(devices, queues, slots)
    record = Worker(
        name=name or f"{platform.node()}-{os.getpid()}",
        host=platform.node(),
        pid=os.getpid(),
        devices=devices,
        queues=queues,
        slots=len(rooms),
        version=VERSION,
    )
    with Store(settings.store_url) as store:
        _Worker(settings, store, record, rooms).run()


@dataclass(eq=False)
class _Worker:
    """A worker that runs in this process; one per process."""

    settings: Settings
    store: Store
    record: Worker
    slots: Sequence[Slot]
    failure: BaseException | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self.meter = UsageMeter(self.record.devices, self.settings.results_dir)
        self.notifier = Notifier(self.settings)
        self.maintenance = Maintenance(self.store, self.settings, self.notifier, also=self._beat)
        self._wakes = [threading.Event() for _ in self.slots]
        self._signals = StopSignals((signal.SIGTERM, signal.SIGINT), at_once=_end_at_once)

    def run(self) -> None:
        """Work until asked to stop, then give back what runs and go."""
        threading.excepthook = self._thread_failed
        serving = [
            threading.Thread(target=self._serve, args=(slot, wake), name=f"slot-{slot.number}")
            for slot, wake in zip(self.slots, self._wakes, strict=True)
        ]
        with self._signals:
            try:
                self.store.queue.register(self.record)
                self._greet()
                self.maintenance.start()
                threading.Thread(target=self._listen, name="listener", daemon=True).start()
                for thread in serving:
                    thread.daemon = True  # a second signal waits for nobody
                    thread.start()
                self._signals.wait()
                log.info("stopping: what trains saves a checkpoint and is given back")
                self.stop()
                self._signals.join(serving, self.settings.cancel_grace_seconds + FAREWELL)
            finally:
                self._leave()
        if self.failure is not None:
            raise ServiceError(
                "worker {name} stops because of a mistake of Tunesmith's ({name2}: "
                "{failure}); what it trained was given back.",
                name=self.record.name,
                name2=type(self.failure).__name__,
                failure=self.failure,
            )

    def wake(self) -> None:
        """Let every free slot look into the store."""
        for wake in self._wakes:
            wake.set()

    def stop(self) -> None:
        """Take nothing more, and give back what runs."""
        self.stopping.set()
        celery_state.should_stop = os.EX_OK  # what Celery's own signal handlers set
        self.wake()

    def _greet(self) -> None:
        record = self.record
        log.info(
            "worker %s: %s, queues %s, %d at once, store %s",
            record.name,
            ", ".join(record.devices),
            ", ".join(record.queues),
            record.slots,
            self.store.name,
        )

    def _leave(self) -> None:
        self.maintenance.close()
        self.notifier.close()
        try:
            self.store.queue.forget(self.record.name)
        except StorageError as error:
            log.error("%s", error)
        log.info("worker %s has stopped", self.record.name)

    # -- one slot ---------------------------------------------------------------------------

    def _serve(self, slot: Slot, wake: threading.Event) -> None:
        """Take and train, one after the other; wait when nothing can be taken.

        What ends without a word may be the fault of this machine. So that it doesn't use up the
        restarts of all that wait, the slot pauses, each time twice as long.
        """
        pause = 0.0
        while not self.stopping.is_set():
            wake.clear()
            while not self.stopping.is_set() and (ended := self._work(slot)):
                pause = next_pause(pause, ended.status)
                self.stopping.wait(pause)
            wake.wait()

    def _work(self, slot: Slot) -> Experiment | None:
        """Have one experiment trained, and return it as it ended; None without one, or a store."""
        try:
            experiment = self.store.queue.take(
                slot.queues,
                lease=new_lease(),
                worker=self.record.name,
                phase=str(Phase.PREPARING_DATA),
                most_processes=slot.most_processes,
                **this_process(),
            )
            if experiment is None:
                return None
            log.info("took %s", experiment.name, extra=about(experiment.id))
            run = Supervision(experiment, slot, self.store, self.settings, self.stopping)
            ended = run.run()
        except StorageError as error:
            log.error("%s", error)
            return None
        log.info("%s is %s", ended.name, ended.status, extra=about(ended.id))
        if ended.status is ExperimentStatus.QUEUED and ended.queue:
            self.notifier.notify(ended.queue)  # others may take it sooner than this worker
        return ended

    # -- beside the slots -------------------------------------------------------------------

    def _beat(self) -> None:
        """Renew this worker's heartbeat, and look for work that no message announced."""
        if self.stopping.is_set():
            return
        usage = self.meter.measure()
        if not self.store.queue.beat(self.record.name, usage):
            self.store.queue.register(replace(self.record, seen_at=utc_now(), usage=usage))
        if self.store.queue.takeable(self.record.queues):
            self.wake()

    def _listen(self) -> None:
        """Let Celery hear the messages; what it can't recover from is begun anew."""
        app = make_celery(self.settings)

        @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
        def work() -> None:
            self.wake()

        while not self.stopping.is_set():
            controller = WorkController(
                app=app,
                hostname=f"tunesmith@{self.record.name}",
                pool_cls="threads",
                concurrency=len(self.slots),
                queues=[broker_queue(name) for name in self.record.queues],
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            controller.start()
            self.stopping.wait(LISTEN_PAUSE)

    def _thread_failed(self, failed: threading.ExceptHookArgs) -> None:
        log.critical("%s", failed.exc_value, exc_info=failed.exc_value)
        self.failure = failed.exc_value
        self._signals.ask()


def next_pause(before: float, ended: ExperimentStatus) -> float:
    """Seconds that a slot waits after a training that `ended` so, when it waited `before` last."""
    match ended:
        case ExperimentStatus.QUEUED:
            return min(max(2 * before, FIRST_PAUSE), LONGEST_PAUSE)
        case ExperimentStatus.FAILED:  # perhaps for the same reason
            return before
        case _:
            return 0.0


def _end_at_once(number: int) -> None:
    """End this process; trainings find their parent gone and give themselves back."""
    try:
        log.warning("stopped at once; what trains gives itself back")
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
