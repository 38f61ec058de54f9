"""`tunesmith queue`: what waits, why, and who takes it; pausing a queue and letting it go on."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.text import Text

from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.cli.tables import Column, FittedTable
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.waiting import Outlook
from tunesmith.experiments.reconcile import reconcile
from tunesmith.jobs.queue import send_once
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.entities import Experiment, ExperimentStatus, Filters
from tunesmith.tracking.environment import user_name
from tunesmith.tracking.service_entities import Worker
from tunesmith.tracking.store import Store

MOST = 10_000
"""Experiments that are looked at, of those that wait and of those that run."""


@click.group(cls=OnceGroup, invoke_without_command=True)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Experiments to list."
)
@click.pass_context
def queue(context: click.Context, limit: int) -> None:
    """Show the queues, what waits in them and why, and the workers; pause and continue a queue."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        outlook = Outlook(store, settings)
        places = store.jobs.positions()
        waiting = [e for e in _all(store, ExperimentStatus.QUEUED) if e.id in places]
        waiting.sort(key=lambda e: (str(e.queue), places[e.id]))
        running = _all(store, ExperimentStatus.RUNNING)
        why = {e.id: "; ".join(outlook.obstacles(e)) for e in waiting[:limit]}
    console = Terminal(highlight=False)
    console.print(_queues(outlook))
    if waiting:
        console.print()
        console.print(_waiting(waiting[:limit], places, why))
        if len(waiting) > limit:
            console.print(f"{limit} of {len(waiting):,}; --limit shows more", style="dim")
    console.print()
    if outlook.workers:
        console.print(_workers(outlook, running))
    else:
        console.print("No worker; tunesmith up starts one")


@queue.command()
@click.argument("name")
def pause(name: str) -> None:
    """Let nothing more be taken from the queue NAME; what runs goes on."""
    with Store(Settings.read().store_url) as store:
        store.jobs.pause(name, user_name())
        write_down(store, actor(), "queue.pause", name)
    echo(f"{name} is paused; what runs goes on")


@queue.command("continue")
@click.argument("name")
def continue_(name: str) -> None:
    """Let experiments be taken from the queue NAME again."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        store.jobs.continue_(name)
        write_down(store, actor(), "queue.continue", name)
    send_once(settings, name)
    echo(f"{name} continues")


def _all(store: Store, status: ExperimentStatus) -> list[Experiment]:
    return store.list(Filters(status=status, limit=MOST), details=False)


def _queues(outlook: Outlook) -> FittedTable:
    table = FittedTable(
        Column("queue"), Column("waiting", right=True), Column("running", right=True),
        Column("", cut=True),
    )  # fmt: skip
    for state in outlook.queues.values():
        by = f" by {state.paused_by}" if state.paused_by else ""
        note = Text(f"paused{by}", "yellow") if state.paused else Text()
        table.add_row(state.name, f"{state.waiting:,}", f"{state.running:,}", note)
    return table


def _waiting(found: list[Experiment], places: dict[str, int], why: dict[str, str]) -> FittedTable:
    table = FittedTable(
        Column("queue"), Column("place", right=True), Column("id"), Column("name", cut=True),
        Column("priority", right=True, spare=1), Column("held up", wraps=True),
    )  # fmt: skip
    for experiment in found:
        table.add_row(
            experiment.queue or "",
            str(places[experiment.id]),
            experiment.id,
            Text(experiment.name),
            str(experiment.priority),
            Text(why[experiment.id], "yellow"),
        )
    return table


def _workers(outlook: Outlook, running: list[Experiment]) -> FittedTable:
    table = FittedTable(
        Column("worker", cut=True), Column("host", cut=True, spare=1), Column("devices", cut=True),
        Column("queues", cut=True, spare=2), Column("trains", wraps=True),
    )  # fmt: skip
    for worker in outlook.workers:
        table.add_row(
            Text(worker.name),
            Text(worker.host),
            ", ".join(worker.devices),
            ", ".join(worker.queues),
            _trains(worker, running, silent=outlook.is_silent(worker)),
        )
    return table


def _trains(worker: Worker, running: list[Experiment], *, silent: bool) -> Text:
    own = [e for e in running if e.worker == worker.name]
    free = max(worker.slots - len(own), 0)
    lines = [f"{e.id} {e.name}, {e.phase or 'starting'}, {e.progress:.0%}" for e in own]
    if silent:
        seconds = timedelta(seconds=round(worker.silence.total_seconds()))
        return Text("\n".join([*lines, f"no sign of life for {seconds}"]), "red")
    return Text("\n".join([*lines, *([f"room for {free}"] if free else [])]))
