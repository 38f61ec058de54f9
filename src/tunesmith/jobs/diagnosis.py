"""What `tunesmith doctor` looks at: each thing that a training or a service needs, with what to do.

Looking changes nothing but the store's schema, which every command brings to this version's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from tunesmith.data.reading.packages import PREFIX, STARTER_PACKAGES, find_in_package
from tunesmith.errors import TunesmithError, UserError
from tunesmith.experiments.webhooks import shown
from tunesmith.jobs.broker import broker_trouble, shown_url
from tunesmith.jobs.devices import CPU, detect_devices, has_gpu
from tunesmith.jobs.installation import Finding, State, look_at_installation
from tunesmith.jobs.ports import is_loopback, port_is_free, port_owner
from tunesmith.jobs.running import Running
from tunesmith.jobs.services import api_answers
from tunesmith.settings import Settings
from tunesmith.threads import SPIN, decided, usable_cores
from tunesmith.tracking.schema import HEAD
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.store import Store
from tunesmith.training.plan import detect_device

LITTLE_DISK, TOO_LITTLE_DISK = 10 * 2**30, 2**30
"""Free bytes below which the disk is worth a warning, and a problem."""


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding after the other; never raises what it came to find."""
    yield from look_at_installation()
    for look in _LOOKS:
        try:
            yield from look(settings)
        except (TunesmithError, OSError, ImportError) as error:
            name = look.__name__.removeprefix("_")
            yield Finding(name, State.PROBLEM, str(error))


def _device(settings: Settings) -> Iterator[Finding]:
    device, reason = detect_device()
    if device == CPU and has_gpu(detect_devices()):
        yield Finding(
            "device",
            State.PROBLEM,
            "there is a GPU that torch can't use",
            "its driver may be too old for this torch: look at what nvidia-smi says",
        )
    elif device == CPU and shutil.which("nvidia-smi"):
        yield Finding(
            "device",
            State.WARNING,
            "torch was installed without CUDA, though nvidia-smi is here",
            "make setup installs the right one where it finds a GPU",
        )
    else:
        yield Finding("device", State.OK, f"{device}: {reason}")


def _threads(settings: Settings) -> Iterator[Finding]:
    found = decided()
    count = f"{usable_cores()} cores, threads: {found.count or 'one each'} ({found.count_reason})"
    message = f"{count}; waiting threads {found.waiting} ({found.waiting_reason})"
    if found.waiting == SPIN:
        advice = (
            "on cores that other programs use too, spinning threads make it 10 to 100 times slower"
        )
        yield Finding("threads", State.WARNING, message, advice)
    else:
        yield Finding("threads", State.OK, message)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.results_dir
    advice = "set TUNESMITH_RESULTS_DIR to a folder of yours, on a disk with room"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        message = f"{folder} can't be written: {error.strerror or error}"
        yield Finding("results", State.PROBLEM, message, advice)
        return
    free = shutil.disk_usage(folder).free
    message = f"{folder.resolve()}, {free / 2**30:,.1f} GiB free"
    if free < TOO_LITTLE_DISK:
        yield Finding("results", State.PROBLEM, message, advice)
    elif free < LITTLE_DISK:
        yield Finding("results", State.WARNING, message, "a base model's checkpoints may need more")
    else:
        yield Finding("results", State.OK, message)


def _store(settings: Settings) -> Iterator[Finding]:
    with Store(settings.store_url) as store:
        queued = store.jobs.takeable(["cpu", "gpu"])
        workers = store.jobs.workers()
        yield Finding(
            "store", State.OK, f"{store.name}, schema {HEAD}, {store.count():,} experiments"
        )
        admins = [t for t in store.access.tokens() if t.role is Role.ADMIN and not t.revoked_at]
        closed = settings.require_tokens or not is_loopback(settings.api_host)
        if closed and settings.oidc_issuer is None and not admins:
            yield Finding(
                "access",
                State.PROBLEM,
                f"the API on {settings.api_host} needs tokens, and there is no admin token",
                "tunesmith tokens create NAME --role admin; till then the API doesn't start",
            )
    silent = [w for w in workers if w.silence.total_seconds() > settings.lease_seconds]
    if there := [w for w in workers if w not in silent]:
        names = ", ".join(f"{w.name} ({'+'.join(w.devices)})" for w in there)
        yield Finding("workers", State.OK, names)
    else:
        waits = f"; {queued:,} experiments wait" if queued else ""
        yield Finding("workers", State.WARNING, f"none{waits}", "tunesmith up starts one")
    for worker in silent:
        seconds = timedelta(seconds=round(worker.silence.total_seconds()))
        yield Finding(
            "workers",
            State.WARNING,
            f"{worker.name} on {worker.host} has given no sign of life for {seconds}",
            "it was killed, its machine is gone, or their clocks differ; it is forgotten by itself",
        )


def _broker(settings: Settings) -> Iterator[Finding]:
    trouble = broker_trouble(settings.broker_url)
    where = shown_url(settings.broker_url)
    if trouble is None:
        yield Finding("broker", State.OK, f"{where} answers")
        return
    advice = "tunesmith up starts one; without it, workers look for work every few seconds"
    free = settings.redis_url is None and port_is_free("127.0.0.1", settings.redis_port)
    if settings.redis_url is None and not free:
        trouble = f"{trouble}: it is {port_owner(settings.redis_port)}"
        advice = "set REDIS_PORT in .env to a port that is free"
    state = State.WARNING if free else State.PROBLEM
    yield Finding("broker", state, f"{where}: {trouble}", advice)


def _api(settings: Settings) -> Iterator[Finding]:
    address = settings.api_address
    if api_answers(settings):
        yield Finding("api", State.OK, f"{address} answers")
    elif port_is_free(settings.api_host, settings.api_port):
        yield Finding("api", State.WARNING, f"{address}: not started", "tunesmith up starts it")
    else:
        owner = port_owner(settings.api_port)
        message = f"port {settings.api_port} is taken by {owner}, which is no API of Tunesmith"
        yield Finding("api", State.PROBLEM, message, "set API_PORT in .env to a port that is free")


def _services(settings: Settings) -> Iterator[Finding]:
    ports = [settings.redis_port, settings.api_port, settings.ui_port]
    if len(set(ports)) < len(ports):
        yield Finding(
            "ports",
            State.PROBLEM,
            f"REDIS_PORT, API_PORT and UI_PORT are {ports[0]}, {ports[1]} and {ports[2]}",
            "give each its own in .env",
        )
    running = Running.read(settings)
    if running is not None and running.is_here and running.supervisor.find() is None:
        yield Finding(
            "services",
            State.WARNING,
            "an earlier tunesmith up was killed",
            "tunesmith down ends what it left; tunesmith up does so too",
        )


def _starter(settings: Settings) -> Iterator[Finding]:
    missing = []
    for name in STARTER_PACKAGES:
        try:
            find_in_package(PREFIX + name)
        except UserError:
            missing.append(name)
    if missing:
        yield Finding(
            "starter",
            State.WARNING,
            f"not installed: {', '.join(missing)}",
            "make setup installs the models and data that config/default.yaml names",
        )
    else:
        yield Finding("starter", State.OK, f"models and data in {', '.join(STARTER_PACKAGES)}")


def _hub(settings: Settings) -> Iterator[Finding]:
    if settings.token:
        yield Finding("hugging face", State.OK, "HF_TOKEN is set")
    elif os.environ.get("HF_HUB_OFFLINE") == "1":
        yield Finding("hugging face", State.OK, "HF_HUB_OFFLINE=1: only what is in its cache")
    else:
        message = "HF_TOKEN is not set: public models and datasets only"
        yield Finding("hugging face", State.OK, message)


def _webhooks(settings: Settings) -> Iterator[Finding]:
    addresses = settings.webhook_addresses
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            message = f"{shown(address)} is not encrypted: anybody on the way reads what is posted"
            yield Finding("webhooks", State.WARNING, message, "use an https:// address")
    command = settings.hook_command
    if command and shutil.which(command[0]) is None:
        message = f"TUNESMITH_HOOK: there is no program {command[0]} that can be started"
        yield Finding("hook", State.PROBLEM, message, "name it with its whole path")
    if not addresses:
        return
    with Store(settings.store_url) as store:
        waiting = store.deliveries.waiting()
    if tried := [delivery for delivery in waiting if delivery.attempts > 1]:
        message = f"{len(tried):,} ends of experiments could not be delivered so far"
        yield Finding("webhooks", State.WARNING, message, "tunesmith webhooks test says why")
    else:
        yield Finding("webhooks", State.OK, ", ".join(shown(address) for address in addresses))


_LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _device,
    _threads,
    _disk,
    _store,
    _broker,
    _api,
    _services,
    _starter,
    _hub,
    _webhooks,
)
"""In the order in which one thing needs another."""
