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

from tunesmith.errors import Interrupted, ServiceError
from tunesmith.files.machine import this_machine
from tunesmith.files.writing import write_text
from tunesmith.jobs.broker import EmbeddedBroker, broker_trouble, shown_url
from tunesmith.jobs.processes import ProcessIdentity, end_processes
from tunesmith.jobs.services.child import Child, Say
from tunesmith.jobs.services.ports import port_is_free, port_taken
from tunesmith.jobs.services.running import Running, only_one
from tunesmith.jobs.signals import StopSignals
from tunesmith.messages import say
from tunesmith.settings import Settings

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
        super().__init__(say("the services run already."))


class Services:
    """The services of one results folder, as children; `say` gets what they print."""

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
        logs = settings.services_dir
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
            self._say("broker", say("{shown_url} is there and is used", shown_url=shown_url(url)))
        elif settings.redis_url is not None:
            self._say(
                "broker",
                say(
                    "{shown_url} can't be reached: {trouble}. It is tried again",
                    shown_url=shown_url(url),
                    trouble=trouble,
                ),
            )
        elif not port_is_free("127.0.0.1", settings.redis_port):
            error = port_taken("broker", settings.redis_port, "REDIS_PORT")
            raise ServiceError(
                "{error} What is there can't be used: {trouble}.", error=error, trouble=trouble
            )
        else:
            password = secrets.token_urlsafe(24)
            write_text(settings.broker_password_file, password, private=True)
            self._broker = EmbeddedBroker(settings.redis_port, password)
            self._broker.start()
            self._broker_identity = ProcessIdentity.of(self._broker.pid)
            self._say(
                "broker",
                say("{shown_url}, embedded, keeps nothing on disk", shown_url=shown_url(url)),
            )

    def _watch(self, ready: Callable[[], None]) -> None:
        waiting = True
        while not self._signals.wait(TICK):
            changed = [child.revive() for child in self._children]
            if self._revive_broker() or any(changed):
                self._write_down()
            if waiting and api_answers(self.settings):
                waiting = False
                ready()
        self._say("up", say("stopping: what trains saves a checkpoint first (once more: at once)"))

    def _revive_broker(self) -> bool:
        """Start the embedded broker again when it died; True when that was done."""
        broker = self._broker
        if broker is None or time.monotonic() < self._broker_due:
            return False
        self._broker_due = time.monotonic() + BROKER_PAUSE
        if broker.is_running():
            return False
        self._say("broker", say("died; started again"))
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

    Ctrl-C, SIGTERM and SIGHUP stop what was started. Runs in a process's main thread.

    Raises AlreadyRunning, Interrupted, and ServiceError with what they said when they can't run.
    """
    with only_one(settings) as first:
        if not first:
            raise AlreadyRunning(Running.read(settings))
    log = settings.services_dir / "up.log"
    process: subprocess.Popen[bytes] | None = None

    def at_once(number: int) -> None:
        if process is not None:
            process.terminate()  # its second signal

    # An exception in the midst of an import, as Ctrl-C is by default, may end Python itself.
    with StopSignals(_STOP, at_once) as signals, log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*COMMAND, "up", "--quiet"],  # API and worker have logs of their own
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C doesn't reach it
        )
        until = time.monotonic() + READY_PATIENCE
        while time.monotonic() < until:
            running = Running.read(settings)
            if running and running.supervisor.pid == process.pid and api_answers(settings):
                return running
            if process.poll() is not None:
                said = log.read_text(encoding="utf-8", errors="replace").strip()
                raise ServiceError("the services can't run ({log}):\n{said}", log=log, said=said)
            if signals.wait(TICK):
                break
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(longest_stop(settings))
        if signals.wait(0):
            raise Interrupted(
                "nothing runs; {services_dir} has the logs.", services_dir=settings.services_dir
            )
    raise ServiceError(
        "the API did not answer on {api_address} within {ready_patience:g} "
        "seconds; {services_dir} has the logs. Everything was stopped again.",
        api_address=settings.api_address,
        ready_patience=READY_PATIENCE,
        services_dir=settings.services_dir,
    )


def longest_stop(settings: Settings) -> float:
    """Most seconds that the services get to end."""
    return settings.cancel_grace_seconds + WORKER_GRACE + 2 * API_GRACE


def stop(settings: Settings) -> bool:
    """Stop what `tunesmith up` started here; False: nothing. Raises ServiceError elsewhere."""
    running = Running.read(settings)
    if running is None:
        return False
    if not running.is_here:
        raise ServiceError(
            "the services of {results_dir} were started on {host}: stop them there.",
            results_dir=settings.results_dir,
            host=running.host,
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
