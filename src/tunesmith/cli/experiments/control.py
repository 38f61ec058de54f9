"""`tunesmith experiments cancel|resume|retry|rerun|edit|delete|front|priority`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import confirm, echo, gettext, word
from tunesmith.cli.console.records import new_tags, opened, record, tag_options
from tunesmith.cli.console.waiting import standing
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.edits import differences, read_edit
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.files.environment import this_person
from tunesmith.jobs.queue import send_once
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

reference = click.argument("reference", metavar="ID|NAME|latest")


@click.command(cls=OnceCommand)
@reference
def cancel(reference: str) -> None:
    """Cancel a waiting experiment; ask a running one to save a checkpoint and stop."""
    by = this_person()
    _act(reference, "cancel", lambda found, store, _: control.cancel(found, store, by=by))


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

    def again(found: str, store: Store, settings: Settings) -> Experiment:
        return control.rerun(found, store, settings, owner=this_person())

    _act(reference, "rerun", again)


@click.command(cls=OnceCommand)
@reference
def front(reference: str) -> None:
    """Let a waiting experiment be the next of its queue."""

    def move(found: str, store: Store, _: Settings) -> Experiment:
        store.queue.move_to_front(found)
        return store.get(found)

    _act(reference, "front", move)


@click.command(cls=OnceCommand)
@reference
@click.argument("priority", type=click.IntRange(-100, 100))
def priority(reference: str, priority: int) -> None:
    """Set the PRIORITY of a waiting experiment; the highest is taken first."""

    def change(found: str, store: Store, _: Settings) -> Experiment:
        store.queue.set_priority(found, priority)
        return store.get(found)

    _act(reference, "priority", change, priority=priority)


@click.command(cls=OnceCommand)
@reference
@click.option("--name", help="Another name; its folder keeps the one that it has.")
@click.option("--note", help="What is to be said of it; - reads it from the standard input.")
@tag_options
def edit(
    reference: str, name: str | None, note: str | None, tags: Sequence[str], untag: Sequence[str]
) -> None:
    """Change an experiment's name, note or tags, whatever its status.

    --tag and --untag may be given several times.
    """
    if name is None and note is None and not tags and not untag:
        raise click.UsageError(gettext("nothing to change: give --name, --note, --tag or --untag."))
    with opened() as (store, settings):
        before = store.find(reference)
        text = sys.stdin.read().rstrip("\n") if note == "-" else note
        given = {"name": name, "note": text, "tags": new_tags(before.tags, tags, untag)}
        after = control.edit(before.id, store, settings, read_edit(given))
        if details := differences(before, after):
            record(store, "experiment.edit", after.id, **details)
    shown = gettext(", tagged {names}", names=", ".join(after.tags)) if after.tags else ""
    echo(f"{after.id}  {after.name}  {word(after.status)}{shown}")


@click.command(cls=OnceCommand)
@reference
@click.option("--yes", is_flag=True, help="Don't ask.")
def delete(reference: str, yes: bool) -> None:
    """Delete an ended experiment: its record, its metrics and its files."""
    with opened() as (store, settings):
        one = store.find(reference)
        where = one.directory
        confirm(
            "Delete {name} ({id}, {status}) and {directory}?",
            yes=yes, name=one.name, id=one.id, status=one.status, directory=where,
        )  # fmt: skip
        files_went = control.delete(one.id, store, settings)
        record(store, "experiment.delete", one.id, name=one.name)
    kept = ""
    if not files_went:
        kept = gettext("; its folder is not Tunesmith's, and stays: {directory}", directory=where)
    echo("{id}  deleted{kept}", id=one.id, kept=kept)


def _act(
    reference: str, what: str, action: Callable[[str, Store, Settings], Experiment], **details: Any
) -> None:
    """Do `action` to an experiment, show what became of it, and write down that it was done."""
    with opened() as (store, settings):
        reconcile(store, settings)
        asked = store.find(reference).id
        found = action(asked, store, settings)
        if found.id != asked:
            details["new"] = found.id
        record(store, f"experiment.{what}", asked, **details)
        waits = standing(found, store, settings)
    note = ""
    if waits is not None and found.queue is not None:
        note = f", {waits}"
        send_once(settings, found.queue)
    elif found.status is ExperimentStatus.RUNNING and found.cancel_requested_at is not None:
        note = gettext(", stopping: it saves a checkpoint first")
    echo(f"{found.id}  {found.name}  {word(found.status)}{note}")
