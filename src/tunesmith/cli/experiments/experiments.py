"""`tunesmith experiments`: what was trained, read from the store and the experiments' files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo_json, gettext, localized, word
from tunesmith.cli.console.records import opened
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text
from tunesmith.cli.console.waiting import standing
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.files.folder import ExperimentFolder
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.names import brief
from tunesmith.schemas.enums import SORT_KEYS, ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Filters

_STYLES = {
    ExperimentStatus.SUCCEEDED: "green",
    ExperimentStatus.FAILED: "red",
    ExperimentStatus.CANCELLED: "yellow",
    ExperimentStatus.RUNNING: "cyan",
    ExperimentStatus.QUEUED: "blue",
}


_CONTROL, _ARCHIVE = "experiments.control", "experiments.archive"
COMMANDS: dict[str, tuple[str, str]] = {
    "cancel": (
        _CONTROL,
        "Cancel a waiting experiment; ask a running one to save a checkpoint and stop.",
    ),
    "resume": (
        _CONTROL,
        "Queue a failed or cancelled experiment, to go on from its newest checkpoint.",
    ),
    "retry": (_CONTROL, "Queue a failed or cancelled experiment, to begin from the start."),
    "rerun": (_CONTROL, "Queue a new experiment with the configuration of this one."),
    "front": (_CONTROL, "Let a waiting experiment be the next of its queue."),
    "priority": (_CONTROL, "Set the PRIORITY of a waiting experiment; the highest is taken first."),
    "edit": (_CONTROL, "Change an experiment's name, note or tags, whatever its status."),
    "delete": (_CONTROL, "Delete an ended experiment: its record, its metrics and its files."),
    "export": (
        _ARCHIVE,
        "Pack an ended experiment into one file, with data, adapter, predictions and log.",
    ),
    "import": (
        _ARCHIVE,
        "Put experiments into the store, for example after the database was lost.",
    ),
}
"""Command → the module of `cli` that defines it, and its line in the help: those that need more
than the store are loaded when they are called."""


@click.group(cls=OnceGroup)
def experiments() -> None:
    """List, show, follow, cancel, resume, repeat, edit, delete, export and import experiments."""


@experiments.command("list")
@click.option("--name", help="Only names that contain this.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag, or all of several.")
@click.option("--status", type=click.Choice([str(s) for s in ExperimentStatus]))
@click.option("--sort-by", type=click.Choice(SORT_KEYS), default="created_at", show_default=True)
@click.option("--asc", is_flag=True, help="Smallest or oldest first.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON, one experiment a line.")
def list_(status: str | None, asc: bool, as_json: bool, **asked: Any) -> None:
    """List experiments, the newest first."""
    with opened() as (store, settings):
        reconcile(store, settings)
        wanted = ExperimentStatus(status) if status else None
        filters = Filters(status=wanted, desc=not asc, **asked)
        found, total = store.list(filters, details=as_json), store.count(filters)
    if as_json:
        for experiment in found:
            echo_json(experiment)
        return
    console = Terminal()
    if not found:
        if asked["name"] or asked["tags"] or status:
            console.say("No experiment matches")
        else:
            console.say("No experiment yet; train one with: tunesmith train")
        return
    console.print(_table(found, settings))
    if total > len(found):
        console.say("{n} of {total:,}; --limit shows more", "dim", n=len(found), total=total)


@experiments.command()
@click.argument("reference", metavar="ID|NAME|latest")
@click.option("--json", "as_json", is_flag=True, help="The whole record as JSON.")
def show(reference: str, as_json: bool) -> None:
    """Show one experiment: its results, or why it has none."""
    with opened() as (store, settings):
        reconcile(store, settings)
        experiment = store.find(reference)
        waits = standing(experiment, store, settings)
    if as_json:
        echo_json(experiment, indent=2)
        return
    console = Terminal()
    folder = ExperimentFolder.of(experiment, settings).path
    if folder.is_dir():  # else the recorded path is shown
        experiment = replace(experiment, directory=str(folder))
    console.print(_head(experiment, settings, waits))
    if experiment.status is ExperimentStatus.SUCCEEDED:
        load("tunesmith.cli.console.summary").print_summary(console, experiment)


@experiments.command()
@click.argument("reference", metavar="ID|NAME|latest", default="latest")
@click.option("--follow", "-f", is_flag=True, help="Go on showing lines as they come.")
@click.option("--lines", "-n", type=click.IntRange(1), default=40, show_default=True)
def logs(reference: str, follow: bool, lines: int) -> None:
    """Show the last lines of an experiment's logs.txt."""
    with opened() as (store, settings):
        experiment = store.find(reference)
        following = load("tunesmith.cli.console.following")
        show_lines = following.follow_log if follow else following.show_log
        show_lines(experiment, store, settings, lines)


for _name, _found in COMMANDS.items():
    experiments.add_command(LazyCommand(_name, *_found))


def _table(found: list[Experiment], settings: Settings) -> FittedTable:
    """The experiments, one a line."""
    table = FittedTable(
        Column("id"), Column("name", cut=True), Column("status"), Column("score"),
        Column("created", spare=1), Column("runtime", spare=2), Column("model", cut=True, spare=3),
        Column("data", cut=True, spare=4), Column("tags", cut=True, spare=5),
    )  # fmt: skip
    for one in found:
        table.add_row(
            one.id,
            Text(one.name),
            Text(word(one.status), _STYLES[one.status]),
            "" if one.score is None else f"{one.score:.3f} {one.score_name}",
            f"{one.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M}",
            "" if one.train_runtime is None else gettext("{n:.0f} s", n=one.train_runtime),
            Text(brief(one.model_name)),
            Text(brief(one.dataset_name)),
            Text(", ".join(one.tags)),
        )
    return table


def _head(experiment: Experiment, settings: Settings, waits: str | None) -> Text:
    zone, data, version = settings.timezone, experiment.dataset_name, experiment.data_reference
    if version != data:  # it is recorded, and was not asked for by its name
        data = f"{data}, {version}"
    text = Text.assemble(
        (experiment.name, "bold"),
        gettext("  {task}, experiment ", task=experiment.task),
        (experiment.id, "cyan"),
        "  ",
        (word(experiment.status), _STYLES[experiment.status]),
        f"\n  {experiment.directory}",
        gettext(
            "\n  created {time}\n  model {model}\n  data {data}",
            time=f"{experiment.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",
            model=experiment.model_name,
            data=data,
        ),
        f" ({experiment.dataset_hash[:19]}…)"
        if experiment.dataset_hash
        else gettext(", not read yet"),
    )
    if waits is not None:
        text.append(f"\n  {waits}")
    if experiment.phase and experiment.status is ExperimentStatus.RUNNING:
        done, left = experiment.progress, experiment.time_left
        phase = experiment.phase
        text.append(say("\n  {phase}, {done:.0%} of training done", phase=phase, done=done))
        if left is not None:
            text.append(say(", about {left:.0f} s left", left=left))
        if worker := experiment.worker:
            text.append(say("\n  worker {worker} on {host}", worker=worker, host=experiment.host))
    if experiment.reason:
        text.append("\n  " + localized(experiment.reason), "red")
    if experiment.tags:
        text.append(gettext("\n  tags {names}", names=", ".join(experiment.tags)))
    if experiment.note:
        lines = experiment.note.splitlines()
        text.append(gettext("\n  note ") + "\n       ".join(lines))
    return text
