"""`tunesmith experiments cancel|resume|retry|rerun|edit|delete|front|priority`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import confirm, echo
from tunesmith.cli.waiting import standing
from tunesmith.experiments import control
from tunesmith.experiments.edits import differences, read_edit, without
from tunesmith.experiments.reconcile import reconcile
from tunesmith.jobs.queue import send_once
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.store import Store

reference = click.argument("reference", metavar="ID|NAME|latest")


@click.command(cls=OnceCommand)
@reference
def cancel(reference: str) -> None:
    """Cancel a waiting experiment; ask a running one to save a checkpoint and stop."""
    _act(reference, "cancel", lambda found, store, _: control.cancel(found, store, by=actor()))


@click.command(cls=OnceCommand)
@reference
def resume(reference: str) -> None:
    """Queue a failed or cancelled experiment, to go on from its newest checkpoint."""
    _act(reference, "resume", lambda found, store, _: control.resume(found, store))


@click.command(cls=OnceCommand)
@reference
def retry(reference: str) -> None:
    """Queue a failed or cancelled experiment, to begin from the start."""
    _act(reference, "retry", lambda found, store, _: control.retry(found, store))


@click.command(cls=OnceCommand)
@reference
def rerun(reference: str) -> None:
    """Queue a new experiment with the configuration of this one."""
    _act(
        reference,
        "rerun",
        lambda found, store, settings: control.rerun(found, store, settings, owner=actor()),
    )


@click.command(cls=OnceCommand)
@reference
def front(reference: str) -> None:
    """Let a waiting experiment be the next of its queue."""

    def move(found: str, store: Store, _: Settings) -> Experiment:
        store.jobs.move_to_front(found)
        return store.get(found)

    _act(reference, "front", move)


@click.command(cls=OnceCommand)
@reference
@click.argument("priority", type=click.IntRange(-100, 100))
def priority(reference: str, priority: int) -> None:
    """Set the PRIORITY of a waiting experiment; the highest is taken first."""

    def change(found: str, store: Store, _: Settings) -> Experiment:
        store.jobs.set_priority(found, priority)
        return store.get(found)

    _act(reference, "priority", change, priority=priority)


@click.command(cls=OnceCommand)
@reference
@click.option("--name", help="Another name; its folder keeps the one that it has.")
@click.option("--note", help="What is to be said of it; - reads it from the standard input.")
@click.option("--tag", "tags", multiple=True, help="A tag it shall have; those not given go.")
@click.option("--untag", multiple=True, help="A tag to take from it; the others stay.")
def edit(
    reference: str,
    name: str | None,
    note: str | None,
    tags: tuple[str, ...],
    untag: tuple[str, ...],
) -> None:
    """Change an experiment's name, note or tags, whatever its status.

    --tag and --untag may be given several times.
    """
    if name is None and note is None and not tags and not untag:
        raise click.UsageError("nothing to change: give --name, --note, --tag or --untag.")
    settings = Settings.read()
    with Store(settings.store_url) as store:
        before = store.find(reference)
        kept = without(untag, tags or before.tags) if untag else tags
        text = sys.stdin.read().rstrip("\n") if note == "-" else note
        given = {"name": name, "note": text, "tags": kept if tags or untag else None}
        after = control.edit(before.id, store, settings, read_edit(given))
        if details := differences(before, after):
            write_down(store, actor(), "experiment.edit", after.id, **details)
    shown = f", tagged {', '.join(after.tags)}" if after.tags else ""
    echo(f"{after.id}  {after.name}  {after.status}{shown}")


@click.command(cls=OnceCommand)
@reference
@click.option("--yes", is_flag=True, help="Don't ask.")
def delete(reference: str, yes: bool) -> None:
    """Delete an ended experiment: its record, its metrics and its files."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        experiment = store.find(reference)
        if not yes:
            confirm(
                f"Delete {experiment.name} ({experiment.id}, {experiment.status}) and "
                f"{experiment.directory}?",
            )
        files_went = control.delete(experiment.id, store, settings)
        write_down(store, actor(), "experiment.delete", experiment.id, name=experiment.name)
    kept = (
        "" if files_went else f"; its folder is not Tunesmith's, and stays: {experiment.directory}"
    )
    echo(f"{experiment.id}  deleted{kept}")


COMMANDS = (cancel, resume, retry, rerun, front, priority, edit, delete)


def _act(
    reference: str,
    what: str,
    action: Callable[[str, Store, Settings], Experiment],
    **details: Any,
) -> None:
    """Do `action` to an experiment, show what became of it, and write down that it was done."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        asked = store.find(reference).id
        found = action(asked, store, settings)
        if found.id != asked:
            details["new"] = found.id
        write_down(store, actor(), f"experiment.{what}", asked, **details)
        waits = standing(found, store, settings)
    note = ""
    if waits is not None and found.queue is not None:
        note = f", {waits}"
        send_once(settings, found.queue)
    elif found.status is ExperimentStatus.RUNNING and found.cancel_requested_at is not None:
        note = ", stopping: it saves a checkpoint first"
    echo(f"{found.id}  {found.name}  {found.status}{note}")
