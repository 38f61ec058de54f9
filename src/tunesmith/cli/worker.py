"""`tunesmith worker`: take experiments from the queue and train them on this machine."""

from __future__ import annotations

import click

from tunesmith.errors import ConfigError, Problem, nearest
from tunesmith.jobs.devices import check_devices, parse_devices
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.processes import end_when_orphaned
from tunesmith.jobs.worker import run_worker
from tunesmith.settings import Settings
from tunesmith.tracking.entities import QUEUES


@click.command()
@click.option("--name", help="Name of the worker, its own; by default the machine's and a number.")
@click.option("--queues", help="Queues that it takes from, as in gpu,cpu; by default what it can.")
@click.option("--devices", help="Devices that it trains on, as in 0,1 or cpu; by default all.")
@click.option(
    "--slots", type=click.IntRange(1, 256), help="Experiments at once; by default one a device."
)
@click.option("--parent", type=int, hidden=True, help="Process whose end ends it.")
def worker(
    name: str | None,
    queues: str | None,
    devices: str | None,
    slots: int | None,
    parent: int | None,
) -> None:
    """Take experiments from the queue and train them here, until Ctrl-C.

    Ctrl-C (or SIGTERM) lets what trains save a checkpoint and gives it back to the queue; a second
    one ends the worker at once.
    """
    settings = Settings.read()
    log_to_terminal(settings, "worker")
    if parent is not None:
        end_when_orphaned(parent)
    named = None if devices is None else parse_devices(devices)
    if named is not None:
        check_devices(named)
    run_worker(
        settings,
        name=name,
        queues=None if queues is None else _queues(queues),
        devices=named,
        slots=slots,
    )


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    problems = [
        Problem(
            "--queues", "no queue has this name", name, ", ".join(QUEUES), nearest(name, QUEUES)
        )
        for name in names or ("",)
        if name not in QUEUES
    ]
    if problems:
        raise ConfigError(problems)
    return names
