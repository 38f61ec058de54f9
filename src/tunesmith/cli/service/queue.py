"""`tunesmith queue`: what waits, why, and who takes it; pausing a queue and letting it go on."""

from __future__ import annotations

from datetime import timedelta

import click

from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, gettext, word
from tunesmith.cli.console.records import opened, record
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text
from tunesmith.cli.console.waiting import Outlook
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.files.environment import user_name
from tunesmith.jobs.queue import send_once
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, Filters
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store

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
    with opened() as (store, settings):
        reconcile(store, settings)
        outlook = Outlook(store, settings)
        places = store.queue.positions()
        waiting = [e for e in _all(store, ExperimentStatus.QUEUED) if e.id in places]
        waiting.sort(key=lambda e: (str(e.queue), places[e.id]))
        running = _all(store, ExperimentStatus.RUNNING)
        why = {e.id: "; ".join(outlook.obstacles(e)) for e in waiting[:limit]}
    console = Terminal()
    console.print(_queues(outlook))
    if waiting:
        console.print()
        console.print(_waiting(waiting[:limit], places, why))
        if len(waiting) > limit:
            console.say("{limit} of {n:,}; --limit shows more", "dim", limit=limit, n=len(waiting))
    console.print()
    if outlook.workers:
        console.print(_workers(outlook, running))
    else:
        console.say("No worker; tunesmith up starts one")


@queue.command()
@click.argument("name")
def pause(name: str) -> None:
    """Let nothing more be taken from the queue NAME; what runs goes on."""
    with opened() as (store, _):
        store.queue.pause(name, user_name())
        record(store, "queue.pause", name)
    echo("{name} is paused; what runs goes on", name=name)


@queue.command("continue")
@click.argument("name")
def continue_(name: str) -> None:
    """Let experiments be taken from the queue NAME again."""
    with opened() as (store, settings):
        store.queue.continue_(name)
        record(store, "queue.continue", name)
    send_once(settings, name)
    echo("{name} continues", name=name)


def _all(store: Store, status: ExperimentStatus) -> list[Experiment]:
    return store.list(Filters(status=status, limit=MOST), details=False)


def _queues(outlook: Outlook) -> FittedTable:
    table = FittedTable(
        Column("queue"), Column("waiting", right=True), Column("running", right=True),
        Column("", cut=True),
    )  # fmt: skip
    for state in outlook.queues.values():
        by = gettext(" by {paused_by}", paused_by=state.paused_by) if state.paused_by else ""
        note = Text(gettext("paused{by}", by=by), "yellow") if state.paused else Text()
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
    lines = [f"{e.id} {e.name}, {word(e.phase or 'starting')}, {e.progress:.0%}" for e in own]
    if silent:
        seconds = timedelta(seconds=round(worker.silence.total_seconds()))
        lines.append(gettext("no heartbeat for {seconds}", seconds=seconds))
    elif (free := worker.slots - len(own)) > 0:
        lines.append(gettext("room for {free}", free=free))
    return Text("\n".join(lines), "red" if silent else "")
