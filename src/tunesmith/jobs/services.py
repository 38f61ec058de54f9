"""`tunesmith up` and `down`: all services of this machine, watched and started again."""

from __future__ import annotations

import platform
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import httpx2
import psutil

from tunesmith.errors import ServiceError
from tunesmith.jobs.broker import EmbeddedBroker, broker_trouble, shown_url
from tunesmith.jobs.child import Child, Say
from tunesmith.jobs.ports import port_is_free, port_taken
from tunesmith.jobs.processes import ProcessIdentity, end_processes
from tunesmith.jobs.running import Running, only_one, services_folder
from tunesmith.jobs.signals import StopSignals
from tunesmith.settings import Settings
from tunesmith.tracking.files import write_text
from tunesmith.tracking.machine import this_machine

COMMAND = (sys.executable, "-P", "-m", "tunesmith.cli")
"""This very Tunesmith, whatever lies in the folder that it is called in (-P)."""

TICK = 0.25
"""Seconds between two looks at the services."""

BROKER_PAUSE, BROKER_LONG_PAUSE = 1.0, 10.0
"""Seconds between two looks at the embedded broker; after a start that failed, the longer one."""

API_GRACE = 10.0
WORKER_GRACE = 25.0
"""Seconds that they get to end, the page as many as the API; the worker's come on top of
`cancel_grace_seconds`."""

READY_PATIENCE = 120.0
"""Seconds that services started in the background get until the API answers."""


def api_answers(settings: Settings) -> bool:
    """Whether the API says that it lives."""
    try:
        address = f"{settings.api_address}/health/live"
        return httpx2.get(address, timeout=2.0, trust_env=False).status_code == httpx2.codes.OK
    except (httpx2.HTTPError, OSError):
        return False


class AlreadyRunning(ServiceError):
    """Raised when the services of this results folder run already; `running` says which."""

    def __init__(self, running: Running | None) -> None:
        self.running = running
        super().__init__("the services run already.")


class Services:
    """The services of one results folder, as children of this process.

    `say` gets every line that they print; the same lines are kept in `results/.tunesmith/`.
    """

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.addresses = {"page": settings.ui_address, "api": settings.api_address}
        self._say = say
        self._signals = StopSignals(_STOP, at_once=self._hurry)
        self._at_once = False
        self._broker: EmbeddedBroker | None = None
        self._broker_identity: ProcessIdentity | None = None
        self._broker_due = 0.0
        self._children: list[Child] = []

    def run(self, ready: Callable[[], None]) -> None:
        """Start them all and watch them until Ctrl-C, SIGTERM or SIGHUP, then stop them all.

        `ready` is called once the API answers. A second signal stops them at once. Runs in a
        process's main thread.

        Raises AlreadyRunning; ServiceError when a port is taken or a service can't run.
        """
        with only_one(self.settings) as first:
            if not first:
                raise AlreadyRunning(Running.read(self.settings))
            end_leftovers(self.settings)
            with self._signals:
                try:
                    self._start()
                    self._watch(ready)
                finally:
                    self._stop()
                    Running.forget(self.settings)

    def _start(self) -> None:
        settings = self.settings
        self._start_broker()
        if not port_is_free(settings.api_host, settings.api_port):
            raise port_taken("API", settings.api_port, "API_PORT")
        if not port_is_free(settings.ui_host, settings.ui_port):
            raise port_taken("web page", settings.ui_port, "UI_PORT")
        parent = ["--parent", str(psutil.Process().pid)]
        logs = services_folder(settings)
        self._children = [
            Child("api", [*COMMAND, "api", *parent], logs, self._say),
            Child("worker", [*COMMAND, "worker", *parent], logs, self._say),
            Child("ui", [*COMMAND, "ui", *parent], logs, self._say),
        ]
        for child in self._children:
            child.start()
        self._write_down()

    def _start_broker(self) -> None:
        """Use the broker that is there, or start one."""
        settings = self.settings
        settings.broker_password_file.unlink(missing_ok=True)  # of a broker that is gone
        url = settings.broker_url
        self.addresses["broker"] = shown_url(url)
        trouble = broker_trouble(url)
        if trouble is None:
            self._say("broker", f"{shown_url(url)} is there and is used")
        elif settings.redis_url is not None:
            self._say("broker", f"{shown_url(url)} can't be reached: {trouble}. It is tried again")
        elif not port_is_free("127.0.0.1", settings.redis_port):
            error = port_taken("broker", settings.redis_port, "REDIS_PORT")
            raise ServiceError(f"{error} What is there can't be used: {trouble}.")
        else:
            password = secrets.token_urlsafe(24)
            write_text(settings.broker_password_file, password, private=True)
            self._broker = EmbeddedBroker(settings.redis_port, password)
            self._broker.start()
            self._broker_identity = ProcessIdentity.of(self._broker.pid)
            self._say("broker", f"{shown_url(url)}, embedded, keeps nothing on disk")

    def _watch(self, ready: Callable[[], None]) -> None:
        waiting = True
        while not self._signals.wait(TICK):
            changed = [child.revive() for child in self._children]
            if self._revive_broker() or any(changed):
                self._write_down()
            if waiting and api_answers(self.settings):
                waiting = False
                ready()
        self._say("up", "stopping: what trains saves a checkpoint first (once more: at once)")

    def _revive_broker(self) -> bool:
        """Start the embedded broker again when it died; True when that was done."""
        broker = self._broker
        if broker is None or time.monotonic() < self._broker_due:
            return False
        self._broker_due = time.monotonic() + BROKER_PAUSE
        if broker.is_running():
            return False
        self._say("broker", "died; started again")
        try:
            broker.stop()
            broker.start()
            self._broker_identity = ProcessIdentity.of(broker.pid)
        except ServiceError as error:
            self._broker_due = time.monotonic() + BROKER_LONG_PAUSE
            self._say("broker", str(error))
            return False
        return True

    def _write_down(self) -> None:
        this = ProcessIdentity.of(psutil.Process().pid)
        assert this is not None
        services = {c.name: c.identity for c in self._children if c.identity is not None}
        if self._broker_identity is not None:
            services["broker"] = self._broker_identity
        running = Running(platform.node(), this, services, self.addresses, this_machine())
        running.write(self.settings)

    def _stop(self) -> None:
        """Page and worker first: one can ask what the worker gives back; then API, then broker."""
        worker = self.settings.cancel_grace_seconds + WORKER_GRACE
        grace = {"ui": API_GRACE, "worker": worker, "api": API_GRACE}
        for child in reversed(self._children):
            child.end(partial(self._patience, grace[child.name]))
            child.close()
        if self._broker is not None:
            self._broker.stop()
            self.settings.broker_password_file.unlink(missing_ok=True)

    def _patience(self, seconds: float) -> float:
        return 0.0 if self._at_once else seconds

    def _hurry(self, number: int) -> None:
        self._at_once = True


_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start_in_background(settings: Settings) -> Running:
    """Start the services in a session of their own; returns them once the API answers.

    Raises AlreadyRunning, and ServiceError with what they said when they can't run.
    """
    with only_one(settings) as first:
        if not first:
            raise AlreadyRunning(Running.read(settings))
    log = services_folder(settings) / "up.log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*COMMAND, "up", "--quiet"],  # API and worker have logs of their own
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + READY_PATIENCE
        while time.monotonic() < until:
            running = Running.read(settings)
            if running and running.supervisor.pid == process.pid and api_answers(settings):
                return running
            if process.poll() is not None:
                said = log.read_text(encoding="utf-8", errors="replace").strip()
                raise ServiceError(f"the services can't run ({log}):\n{said}")
            time.sleep(TICK)
        process.terminate()
    except KeyboardInterrupt:
        # It has a session of its own, so that Ctrl-C didn't reach it.
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(longest_stop(settings))
        raise
    raise ServiceError(
        f"the API did not answer on {settings.api_address} within {READY_PATIENCE:g} seconds; "
        f"{services_folder(settings)} has the logs. Everything was stopped again."
    )


def longest_stop(settings: Settings) -> float:
    """Most seconds that the services get to end."""
    return settings.cancel_grace_seconds + WORKER_GRACE + 2 * API_GRACE


def stop(settings: Settings) -> bool:
    """Stop what `tunesmith up` started with these settings; False when nothing runs.

    Raises ServiceError when it was started on another machine.
    """
    running = Running.read(settings)
    if running is None:
        return False
    if not running.is_here:
        raise ServiceError(
            f"the services of {settings.results_dir} were started on {running.host}: "
            "stop them there."
        )
    found = running.supervisor.find() is not None
    end_processes([running.supervisor], longest_stop(settings))
    return end_leftovers(settings) or found


def end_leftovers(settings: Settings) -> bool:
    """End services whose `tunesmith up` was killed; True when there were any."""
    running = Running.read(settings)
    if running is None or not running.is_here:
        return False
    left = [service for service in running.services.values() if service.find() is not None]
    end_processes(left, settings.cancel_grace_seconds + WORKER_GRACE)
    Running.forget(settings)
    return bool(left)
