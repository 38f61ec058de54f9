"""`tunesmith worker`: take experiments from the queue and train them on this machine."""

from __future__ import annotations

import platform
import sys

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, gettext
from tunesmith.errors import ConfigError, Problem, nearest
from tunesmith.jobs.devices import check_devices, parse_devices
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.processes import end_when_orphaned
from tunesmith.jobs.workers.worker import run_worker
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import QUEUES
from tunesmith.store.store import Store


@click.command(cls=OnceCommand)
@click.option("--name", help="Name of the worker, its own; by default the machine's and a number.")
@click.option("--queues", help="Queues that it takes from, as in gpu,cpu; by default what it can.")
@click.option("--devices", help="Devices that it trains on, as in 0,1 or cpu; by default all.")
@click.option(
    "--slots", type=click.IntRange(1, 256), help="Experiments at once; by default one a device."
)
@click.option(
    "--check",
    is_flag=True,
    help="Start none: say whether this machine's has a recent heartbeat (exit code 0) or not (1).",
)
@click.option("--parent", type=int, hidden=True, help="Process whose end ends it.")
def worker(
    name: str | None,
    queues: str | None,
    devices: str | None,
    slots: int | None,
    check: bool,
    parent: int | None,
) -> None:
    """Take experiments from the queue and train them here, until Ctrl-C.

    Ctrl-C (or SIGTERM) lets what trains save a checkpoint and gives it back to the queue; a second
    one ends the worker at once.
    """
    settings = Settings.read()
    if check:
        sys.exit(_check(settings, name))
    log_to_terminal(settings, "worker")
    if parent is not None:
        end_when_orphaned(parent)
    named = None if devices is None else parse_devices(devices)
    if named is not None:
        check_devices(named)
    wanted = None if queues is None else _queues(queues)
    run_worker(settings, name=name, queues=wanted, devices=named, slots=slots)


def _check(settings: Settings, name: str | None) -> int:
    """Say how this machine's worker is, or the one called `name`; the exit code that says it too.

    Raises StorageError when the store doesn't answer, which is no fault of the worker's.
    """
    with Store(settings.store_url) as store:
        found = store.queue.workers()
    here = [w for w in found if (w.name == name if name else w.host == platform.node())]
    silences = {worker.name: worker.silence.total_seconds() for worker in here}
    for called, silence in silences.items():
        echo("{name}: last heartbeat {silence:.0f} s ago", name=called, silence=silence)
    if not here:
        echo("{name}: no worker is recorded", name=name or platform.node())
    return 0 if any(s <= settings.lease_seconds for s in silences.values()) else 1


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong, accepted = gettext("no queue has this name"), ", ".join(QUEUES)
    problems = [
        Problem("--queues", wrong, name, accepted, nearest(name, QUEUES))
        for name in names or ("",)
        if name not in QUEUES
    ]
    if problems:
        raise ConfigError(problems)
    return names
