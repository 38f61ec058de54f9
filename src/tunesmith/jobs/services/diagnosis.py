"""What `tunesmith doctor` checks: each thing that a training or a service needs, with advice.

Nothing is changed but the store's schema, which every command brings to this version's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tunesmith.config.rules import RULES
from tunesmith.data.reading.packages import STARTER_PACKAGES, find_in_package
from tunesmith.errors import TunesmithError, UserError
from tunesmith.experiments.notify.webhooks import shown
from tunesmith.jobs.broker import broker_trouble, shown_url
from tunesmith.jobs.devices import CPU, detect_devices, has_gpu
from tunesmith.jobs.services.installation import Diagnosis, State, look_at_installation
from tunesmith.jobs.services.ports import port_is_free, port_owner
from tunesmith.jobs.services.running import Running
from tunesmith.jobs.services.starting import api_answers
from tunesmith.messages import say
from tunesmith.names import Package
from tunesmith.network.addresses import resolves_to_loopback
from tunesmith.plugins import Registry
from tunesmith.schemas.enums import Role
from tunesmith.serving.exporters import EXPORTERS
from tunesmith.settings import Settings
from tunesmith.store.database.schema import HEAD
from tunesmith.store.store import Store
from tunesmith.tasks import TASKS
from tunesmith.threads import SPIN, decided, usable_cores
from tunesmith.training.plan import detect_device

OK, WARNING, PROBLEM = State

LITTLE_DISK, TOO_LITTLE_DISK = 10 * 2**30, 2**30
"""Free bytes below which the disk is worth a warning, and a problem."""


def diagnose(settings: Settings) -> Iterator[Diagnosis]:
    """Check everything, one diagnosis after the other; problems are given, never raised."""
    yield from look_at_installation()
    for look in _LOOKS:
        try:
            yield from look(settings)
        except (TunesmithError, OSError, ImportError) as error:
            name = look.__name__.removeprefix("_")
            yield Diagnosis(name, PROBLEM, str(error))


def _device(settings: Settings) -> Iterator[Diagnosis]:
    device, reason = detect_device()
    if device == CPU and has_gpu(detect_devices()):
        message = say("there is a GPU that torch can't use")
        advice = say("its driver may be too old for this torch: look at what nvidia-smi says")
        yield Diagnosis("device", PROBLEM, message, advice)
    elif device == CPU and shutil.which("nvidia-smi"):
        message = say("torch was installed without CUDA, though nvidia-smi is here")
        advice = say("make setup installs the right one where it finds a GPU")
        yield Diagnosis("device", WARNING, message, advice)
    else:
        yield Diagnosis("device", OK, say("{device}: {reason}", device=device, reason=reason))


def _threads(settings: Settings) -> Iterator[Diagnosis]:
    found = decided()
    count = say(
        "{usable_cores} cores, threads: {count} ({count_reason})",
        usable_cores=usable_cores(),
        count=found.count or say("one each"),
        count_reason=found.count_reason,
    )
    message = say(
        "{count}; waiting threads {waiting} ({waiting_reason})",
        count=count,
        waiting=found.waiting,
        waiting_reason=found.waiting_reason,
    )
    if found.waiting == SPIN:
        advice = say(
            "on cores that other programs use too, spinning threads make it 10 to 100 times slower"
        )
        yield Diagnosis("threads", WARNING, message, advice)
    else:
        yield Diagnosis("threads", OK, message)


def _results(settings: Settings) -> Iterator[Diagnosis]:
    folder = settings.results_dir
    advice = say("set TUNESMITH_RESULTS_DIR to a folder of yours, on a disk with room")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        why = error.strerror or error
        message = say("{path} can't be written: {error}", path=folder, error=why)
        yield Diagnosis("results", PROBLEM, message, advice)
        return
    free = shutil.disk_usage(folder).free
    message = say("{resolve}, {free:,.1f} GiB free", resolve=folder.resolve(), free=free / 2**30)
    if free < TOO_LITTLE_DISK:
        yield Diagnosis("results", PROBLEM, message, advice)
    elif free < LITTLE_DISK:
        advice = say("a base model's checkpoints may need more")
        yield Diagnosis("results", WARNING, message, advice)
    else:
        yield Diagnosis("results", OK, message)


def _store(settings: Settings) -> Iterator[Diagnosis]:
    with Store(settings.store_url) as store:
        queued = store.queue.takeable(["cpu", "gpu"])
        workers = store.queue.workers()
        yield Diagnosis(
            "store",
            OK,
            say(
                "{name}, schema {head}, {count:,} experiments",
                name=store.name,
                head=HEAD,
                count=store.count(),
            ),
        )
        admins = [t for t in store.access.tokens() if t.role is Role.ADMIN and not t.revoked_at]
    closed = settings.require_tokens or not resolves_to_loopback(settings.api_host)
    if closed and settings.oidc_issuer is None and not admins:
        message = say(
            "the API on {api_host} needs tokens, and there is no admin token",
            api_host=settings.api_host,
        )
        advice = say("tunesmith tokens create NAME --role admin; till then the API doesn't start")
        yield Diagnosis("access", PROBLEM, message, advice)
    silent = [w for w in workers if w.silence.total_seconds() > settings.lease_seconds]
    if there := [w for w in workers if w not in silent]:
        names = ", ".join(f"{w.name} ({'+'.join(w.devices)})" for w in there)
        yield Diagnosis("workers", OK, names)
    else:
        waits = say("; {queued:,} experiments wait", queued=queued) if queued else ""
        yield Diagnosis("workers", WARNING, f"none{waits}", say("tunesmith up starts one"))
    for worker in silent:
        message = say(
            "{name} on {host} has had no heartbeat for {seconds}",
            name=worker.name,
            host=worker.host,
            seconds=timedelta(seconds=round(worker.silence.total_seconds())),
        )
        advice = say(
            "it was killed, its machine is gone, or their clocks differ; it is removed "
            "automatically"
        )
        yield Diagnosis("workers", WARNING, message, advice)


def _broker(settings: Settings) -> Iterator[Diagnosis]:
    trouble = broker_trouble(settings.broker_url)
    where = shown_url(settings.broker_url)
    if trouble is None:
        yield Diagnosis("broker", OK, say("{where} answers", where=where))
        return
    advice = say("tunesmith up starts one; without it, workers look for work every few seconds")
    free = settings.redis_url is None and port_is_free("127.0.0.1", settings.redis_port)
    if settings.redis_url is None and not free:
        owner = port_owner(settings.redis_port)
        trouble = say("{trouble}: it is {port_owner}", trouble=trouble, port_owner=owner)
        advice = say("set REDIS_PORT in .env to a port that is free")
    message = say("{where}: {trouble}", where=where, trouble=trouble)
    yield Diagnosis("broker", WARNING if free else PROBLEM, message, advice)


def _api(settings: Settings) -> Iterator[Diagnosis]:
    address, port = settings.api_address, settings.api_port
    if api_answers(settings):
        yield Diagnosis("api", OK, say("{address} answers", address=address))
    elif port_is_free(settings.api_host, port):
        message = say("{address}: not started", address=address)
        yield Diagnosis("api", WARNING, message, say("tunesmith up starts it"))
    else:
        message = say(
            "port {api_port} is taken by {owner}, which is no API of Tunesmith",
            api_port=port,
            owner=port_owner(port),
        )
        advice = say("set API_PORT in .env to a port that is free")
        yield Diagnosis("api", PROBLEM, message, advice)


def _services(settings: Settings) -> Iterator[Diagnosis]:
    ports = [settings.redis_port, settings.api_port, settings.ui_port]
    if len(set(ports)) < len(ports):
        message = say(
            "REDIS_PORT, API_PORT and UI_PORT are {ports}, {ports2} and {ports3}",
            ports=ports[0],
            ports2=ports[1],
            ports3=ports[2],
        )
        yield Diagnosis("ports", PROBLEM, message, say("give each its own in .env"))
    running = Running.read(settings)
    if running is not None and running.is_here and running.supervisor.find() is None:
        advice = say("tunesmith down ends what it left; tunesmith up does so too")
        yield Diagnosis("services", WARNING, say("an earlier tunesmith up was killed"), advice)


def _starter(settings: Settings) -> Iterator[Diagnosis]:
    missing = []
    for name in STARTER_PACKAGES:
        try:
            find_in_package(Package(name))
        except UserError:
            missing.append(name)
    if missing:
        message = say("not installed: {names}", names=missing)
        advice = say("make setup installs the models and data that config/default.yaml names")
        yield Diagnosis("starter", WARNING, message, advice)
    else:
        message = say("models and data in {names}", names=list(STARTER_PACKAGES))
        yield Diagnosis("starter", OK, message)


def _hub(settings: Settings) -> Iterator[Diagnosis]:
    if settings.token:
        message = say("HF_TOKEN is set")
    elif os.environ.get("HF_HUB_OFFLINE") == "1":
        message = say("HF_HUB_OFFLINE=1: only what is in its cache")
    else:
        message = say("HF_TOKEN is not set: public models and datasets only")
    yield Diagnosis("hugging face", OK, message)


def _additions(settings: Settings) -> Iterator[Diagnosis]:
    """What other packages add, and what of it can't be used."""
    advice = say("update the package, or remove it")
    added: list[str] = []
    registries: tuple[Registry[Any], ...] = (TASKS, RULES, EXPORTERS)
    for registry in registries:
        added += registry.added()
        for trouble in registry.troubles:
            yield Diagnosis("additions", WARNING, trouble, advice)
    if added:
        yield Diagnosis("additions", OK, ", ".join(added))


def _webhooks(settings: Settings) -> Iterator[Diagnosis]:
    addresses = settings.webhook_addresses
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "http" and not resolves_to_loopback(parts.hostname or ""):
            message = say(
                "{shown} is not encrypted: anybody on the way reads what is posted",
                shown=shown(address),
            )
            yield Diagnosis("webhooks", WARNING, message, say("use an https:// address"))
    command = settings.hook_command
    if command and shutil.which(command[0]) is None:
        message = say(
            "TUNESMITH_HOOK: there is no program {command} that can be started", command=command[0]
        )
        yield Diagnosis("hook", PROBLEM, message, say("name it with its whole path"))
    if not addresses:
        return
    with Store(settings.store_url) as store:
        waiting = store.deliveries.waiting()
    if tried := [delivery for delivery in waiting if delivery.attempts > 1]:
        message = say("{n:,} ends of experiments could not be delivered so far", n=len(tried))
        yield Diagnosis("webhooks", WARNING, message, say("tunesmith webhooks test says why"))
    else:
        yield Diagnosis("webhooks", OK, ", ".join(shown(address) for address in addresses))


_LOOKS: tuple[Callable[[Settings], Iterator[Diagnosis]], ...] = (
    _device, _threads, _results, _store, _broker, _api, _services, _starter, _hub, _additions,
    _webhooks,
)  # fmt: skip
"""In the order in which one thing needs another."""
