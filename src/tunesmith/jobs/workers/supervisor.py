"""Starts the process that trains an experiment, watches it, and records its end where it can't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

from tunesmith.errors import LeaseLostError, NotFoundError, StateError, StorageError
from tunesmith.experiments.lifecycle.lease import renewal_interval
from tunesmith.experiments.lifecycle.reconcile import Restart, give_up
from tunesmith.experiments.lifecycle.states import S, job_of, queue_again, seconds_after_boot
from tunesmith.files.folder import ExperimentFolder
from tunesmith.jobs.devices import Slot
from tunesmith.jobs.logs import about, log
from tunesmith.jobs.processes import kill_family
from tunesmith.jobs.workers.endings import Ending, KillCounts, judge_ending
from tunesmith.jobs.workers.hanging import HANGS_AFTER, HangDetector
from tunesmith.jobs.workers.process import LEASE
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

TICK = 0.5
"""Most seconds until a wish to stop is passed on."""

LONGEST_START = 300.0
"""Seconds until a training process must give its own first heartbeat: imports, cold disks."""

FAREWELL = 300.0
"""Seconds between an experiment's recorded end and its process's: its last files are copied."""

LOST_GRACE = 5.0
"""Seconds that a process gets to end on its own once the experiment isn't its own any more: what it
could still save would be in another's way."""

RECORD_PATIENCE = 30.0
"""Seconds for which the store is asked again to record an end."""

LONGEST_OUTPUT = 100_000
"""Bytes of a process's output that are looked at: its end."""


class Wish(StrEnum):
    """Why a training process should end."""

    SHUTDOWN = "the worker shut down"
    CANCELLED = "it was cancelled"
    TIME_LIMIT = "its time was over (job.time_limit)"
    LEASE_LOST = "another process was given the experiment"
    TAKEN = "the experiment was taken from it, since its heartbeat had stopped"
    ENDED = "its end was recorded"


_GONE = (Wish.LEASE_LOST, Wish.TAKEN, Wish.ENDED)
"""Wishes after which the process has nothing more to say of the experiment."""


@dataclass(frozen=True)
class _Asked:
    wish: Wish
    at: float
    """Steady clock."""
    grace: float


@dataclass(eq=False)
class Supervision:
    """One process that trains an experiment which was just taken.

    `stopping` asks the process to save a checkpoint and give the experiment back. What the process
    doesn't record itself is recorded here: how it died, or that it didn't obey.
    """

    experiment: Experiment
    """As it was last seen."""
    slot: Slot
    store: Store
    settings: Settings
    stopping: threading.Event

    def __post_init__(self) -> None:
        experiment = self.experiment
        assert experiment.lease is not None
        self.id, self.lease, self.heartbeat = experiment.id, experiment.lease, experiment.heartbeat
        self.limit = job_of(experiment).time_limit
        self.interval = renewal_interval(self.settings)
        self.output = ExperimentFolder.of(experiment, self.settings).process
        self.printed = 0
        self.begun = time.monotonic()
        self.has_begun = False
        self.heard = self.begun
        """When its heartbeat was last seen to move, by the steady clock."""
        self.asked: _Asked | None = None
        self.overstayed: _Asked | None = None
        self.hung: str | None = None
        """What held it up, where it did nothing when it should end."""

    def run(self) -> Experiment:
        """Train it to its end; returns it as it ended."""
        before = KillCounts.read()
        try:
            process = self._start()
        except OSError as error:
            reason = say(
                "Its training process can't be started: {error}.", error=error.strerror or error
            )
            return self._record(lambda e: give_up(e, reason, self.store, restart=Restart.FREE))
        log.info("training in process %d", process.pid, extra=about(self.id))
        code = self._watch(process)
        # What it has started itself goes with it.
        kill_family(process.pid, LEASE, self.lease)
        killed = KillCounts.read().rose_since(before)
        ending = judge_ending(code, process.pid, self._printed(), out_of_memory=killed)
        ended = self._record(lambda e: self._settle(e, code, ending))
        process.wait()  # until now its number was nobody else's, and its end ours to tell
        return ended

    def _start(self) -> subprocess.Popen[bytes]:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        module = "tunesmith.jobs.workers.process"
        command = [sys.executable, "-P", "-m", module, self.id, str(os.getpid())]
        with self.output.open("ab") as stream:
            self.printed = stream.tell()
            process = subprocess.Popen(
                command,
                env={
                    **self.slot.environment(os.environ),
                    LEASE: self.lease,
                    "PYTHONFAULTHANDLER": "1",  # from its first import on
                },
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the worker, which passes it on
            )
        self._vouch_for(process.pid)
        return process

    def _watch(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the process's end, passing on what it should know; returns its exit code."""
        codes: list[int] = []
        waiter = threading.Thread(
            target=lambda: codes.append(_exit_code(process)), name=f"wait-{self.id}", daemon=True
        )
        waiter.start()
        hangs = HangDetector(process.pid)
        looked = time.monotonic()
        while waiter.is_alive():
            waiter.join(min(TICK, self.interval))
            now = time.monotonic()
            if self.stopping.is_set():
                if self.asked is None:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGTERM)
                self._ask(Wish.SHUTDOWN, now)
            if now - looked >= self.interval:
                looked = now
                self._look(process.pid, now)
            if self.asked and not self.overstayed and self._overstays(self.asked, hangs, now):
                self.overstayed = self.asked
                log.warning(
                    "it doesn't end though %s%s: killed", self.asked.wish,
                    f" ({self.hung})" if self.hung else "", extra=about(self.id),
                )  # fmt: skip
                kill_family(process.pid, LEASE, self.lease)
        return codes[0]

    def _overstays(self, asked: _Asked, hangs: HangDetector, now: float) -> bool:
        """Whether its time is over, or it does nothing with it."""
        if now - asked.at > asked.grace:
            return True
        if asked.wish is Wish.ENDED and self.settings.artifacts:
            return False  # its last files may wait for an object store
        self.hung = hangs.found(now)
        return self.hung is not None

    def _look(self, pid: int, now: float) -> None:
        """What the record says; until the process does it, keep the lease alive."""
        if not self.has_begun and now - self.begun < LONGEST_START:
            self._vouch_for(pid)
        try:
            experiment = self.store.get(self.id)
        except StorageError:
            return  # the process itself notices when this lasts too long
        except NotFoundError:  # it had ended, and somebody deleted it
            self._ask(Wish.ENDED, now, FAREWELL)
            return
        if experiment.heartbeat != self.experiment.heartbeat:
            self.heard = now
        self.experiment = experiment
        if experiment.status is not S.RUNNING:
            # Others end it only after silence; and only we let its process put it back.
            silent = now - self.heard > self.settings.lease_seconds / 2
            put_back = experiment.status is S.QUEUED and self.asked is None
            if (silent and experiment.status is not S.SUCCEEDED) or put_back:
                self._ask(Wish.TAKEN, now, LOST_GRACE)
            else:
                self._ask(Wish.ENDED, now, FAREWELL)
        elif experiment.lease != self.lease:
            self._ask(Wish.LEASE_LOST, now, LOST_GRACE)
        elif experiment.cancel_requested_at is not None:
            self._ask(Wish.CANCELLED, now)
        elif self.limit is not None and now - self.begun > self.limit:
            self._ask(Wish.TIME_LIMIT, now)

    def _vouch_for(self, pid: int) -> None:
        """Renew the lease for a process that is still importing, under its own number."""
        try:
            started = seconds_after_boot(psutil.Process(pid))
            renewed = self.store.queue.renew(self.id, self.lease, pid=pid, process_started=started)
        except (StorageError, psutil.Error):
            return
        if renewed is None or renewed.heartbeat != self.heartbeat + 1:
            self.has_begun = True  # it renews by itself, or is not ours any more
        else:
            self.heartbeat = renewed.heartbeat

    def _ask(self, wish: Wish, now: float, grace: float | None = None) -> None:
        if self.asked is None or (wish in _GONE and self.asked.wish not in _GONE):
            patience = self.settings.cancel_grace_seconds if grace is None else grace
            self.asked = _Asked(wish, now, patience)

    def _settle(self, experiment: Experiment, code: int, ending: Ending) -> Experiment:
        """Record the end of a process that recorded none."""
        if self.overstayed is not None:
            reason = (
                say(
                    "The process that trained it was killed: {what} for {seconds:g} seconds "
                    "although {why}.",
                    what=self.hung,
                    seconds=HANGS_AFTER,
                    why=self.overstayed.wish,
                )
                if self.hung
                else say(
                    "The process that trained it was killed: it did not stop within "
                    "{seconds:g} seconds although {why}.",
                    seconds=self.overstayed.grace,
                    why=self.overstayed.wish,
                )
            )
            restart = Restart.FREE if self.overstayed.wish is Wish.SHUTDOWN else Restart.NEVER
            return give_up(experiment, reason, self.store, restart=restart)
        early = code in (-signal.SIGTERM, -signal.SIGINT) and experiment.cancel_requested_at is None
        if self.stopping.is_set() and early:
            reason = say("Given back by worker {name} before it began.", name=experiment.worker)
            return queue_again(self.store, experiment, last=False, lease=self.lease, reason=reason)
        return give_up(experiment, ending.reason, self.store, restart=ending.restart)

    def _record(self, end: Callable[[Experiment], Experiment]) -> Experiment:
        """Let `end` record the experiment's end, unless its process or somebody else did."""
        until = time.monotonic() + RECORD_PATIENCE
        while True:
            try:
                experiment = self.store.get(self.id)
                if experiment.status is S.RUNNING and experiment.lease == self.lease:
                    experiment = end(experiment)
                    log.warning("%s", experiment.reason, extra=about(self.id))
                return experiment
            except (StateError, LeaseLostError):  # somebody was faster: look what they recorded
                if time.monotonic() > until:
                    return self.store.get(self.id)
            except NotFoundError:  # it had ended, and somebody deleted it
                return self.experiment
            except StorageError:
                if time.monotonic() > until or self.stopping.is_set():
                    raise  # whoever reaches the store finds the process gone
                time.sleep(1.0)

    def _printed(self) -> str:
        """What this process printed; the end of it, when it was much."""
        try:
            with self.output.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(self.printed, size - LONGEST_OUTPUT))
                return stream.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of `process`; its exit code, below 0 the signal that ended it.

    It is not reaped where the system can do without: as long as its number is taken, others see
    that its worker has yet to say how it ended.
    """
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return process.wait()
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
