"""`tunesmith experiments`: what was trained, read from the store and the experiments' files."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import click
from rich.table import Table
from rich.text import Text

from tunesmith.cli import experiment_archive, experiment_control
from tunesmith.cli.following import follow_log, show_log
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.cli.summary import print_summary
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.waiting import standing
from tunesmith.experiments.reconcile import reconcile
from tunesmith.settings import Settings
from tunesmith.tracking.entities import SORT_KEYS, Experiment, ExperimentStatus, Filters
from tunesmith.tracking.files import find_folder, finite
from tunesmith.tracking.store import Store

_STYLES = {
    ExperimentStatus.SUCCEEDED: "green",
    ExperimentStatus.FAILED: "red",
    ExperimentStatus.CANCELLED: "yellow",
    ExperimentStatus.RUNNING: "cyan",
    ExperimentStatus.QUEUED: "blue",
}


WIDE = 100
"""Columns of a terminal that shows more than the figures."""


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
def list_(
    name: str | None,
    tags: tuple[str, ...],
    status: str | None,
    sort_by: str,
    asc: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List experiments, the newest first."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        filters = Filters(
            name=name,
            tags=tags,
            status=ExperimentStatus(status) if status else None,
            sort_by=sort_by,
            desc=not asc,
            limit=limit,
        )
        found, total = store.list(filters), store.count(filters)
    if as_json:
        for experiment in found:
            echo(_as_json(experiment, indent=None))
        return
    console = Terminal(highlight=False)
    if not found:
        anything = "matches" if name or tags or status else "yet; train one with: tunesmith train"
        console.print(f"No experiment {anything}")
        return
    console.print(_table(found, settings, console.width))
    if total > len(found):
        console.print(f"{len(found)} of {total:,}; --limit shows more", style="dim")


@experiments.command()
@click.argument("reference", metavar="ID|NAME|latest")
@click.option("--json", "as_json", is_flag=True, help="The whole record as JSON.")
def show(reference: str, as_json: bool) -> None:
    """Show one experiment: its results, or why it has none."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        experiment = store.find(reference)
        waits = standing(experiment, store, settings)
    if as_json:
        echo(_as_json(experiment, indent=2))
        return
    console = Terminal(highlight=False)
    folder = find_folder(experiment, settings.results_dir)
    experiment = replace(experiment, directory=str(folder) if experiment.directory else None)
    console.print(_head(experiment, settings, waits))
    if experiment.status is ExperimentStatus.SUCCEEDED:
        print_summary(console, experiment)


@experiments.command()
@click.argument("reference", metavar="ID|NAME|latest", default="latest")
@click.option("--follow", "-f", is_flag=True, help="Go on showing lines as they come.")
@click.option("--lines", "-n", type=click.IntRange(1), default=40, show_default=True)
def logs(reference: str, follow: bool, lines: int) -> None:
    """Show the last lines of an experiment's logs.txt."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        experiment = store.find(reference)
        if follow:
            follow_log(experiment, store, settings, lines)
        else:
            show_log(experiment, store, settings, lines)


for _command in (*experiment_control.COMMANDS, *experiment_archive.COMMANDS):
    experiments.add_command(_command)


def _table(found: list[Experiment], settings: Settings, width: int) -> Table:
    """The experiments, one a line; runtime, year, model, data, tags where there is room."""
    wide = width >= WIDE
    columns: dict[str, list[Text]] = {
        "id": [Text(e.id) for e in found],
        "name": [Text(e.name) for e in found],
        "status": [Text(str(e.status), _STYLES[e.status]) for e in found],
        "score": [Text("" if e.score is None else f"{e.score:.3f} {e.score_name}") for e in found],
        "created": [Text(_when(e, settings, year=wide)) for e in found],
    }
    if wide:
        seconds = [e.train_runtime for e in found]
        columns["runtime"] = [Text("" if s is None else f"{s:.0f} s") for s in seconds]
        columns["model"] = [Text(_last(e.model_name)) for e in found]
        columns["data"] = [Text(_last(e.dataset_name)) for e in found]
        if any(e.tags for e in found):
            columns["tags"] = [Text(", ".join(e.tags)) for e in found]
    needed = {n: max(len(n), *(cell.cell_len for cell in cells)) for n, cells in columns.items()}
    cut = [name for name in ("name", "model", "data", "tags") if name in columns]
    fixed = sum(needed[name] for name in columns if name not in cut) + 2 * len(columns)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        room = needed[name] if name not in cut else max(8, (width - fixed) // len(cut))
        table.add_column(name, width=min(needed[name], room), no_wrap=True, overflow="ellipsis")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _when(experiment: Experiment, settings: Settings, *, year: bool) -> str:
    created = experiment.created_at.astimezone(settings.timezone)
    return f"{created:%Y-%m-%d %H:%M}" if year else f"{created:%m-%d %H:%M}"


def _head(experiment: Experiment, settings: Settings, waits: str | None) -> Text:
    zone = settings.timezone
    text = Text.assemble(
        (experiment.name, "bold"),
        f"  {experiment.task}, experiment ",
        (experiment.id, "cyan"),
        "  ",
        (str(experiment.status), _STYLES[experiment.status]),
        f"\n  {experiment.directory}"
        f"\n  created {experiment.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
        f"\n  model {experiment.model_name}"
        f"\n  data {experiment.dataset_name}{_version(experiment)}",
        f" ({experiment.dataset_hash[:19]}…)" if experiment.dataset_hash else ", not read yet",
    )
    if waits is not None:
        text.append(f"\n  {waits}")
    if experiment.phase and experiment.status is ExperimentStatus.RUNNING:
        text.append(f"\n  {experiment.phase}, {experiment.progress:.0%} of training done")
        if experiment.time_left is not None:
            text.append(f", about {experiment.time_left:.0f} s left")
        if experiment.worker:
            text.append(f"\n  worker {experiment.worker} on {experiment.host}")
    if experiment.reason:
        text.append(f"\n  {experiment.reason}", "red")
    if experiment.tags:
        text.append(f"\n  tags {', '.join(experiment.tags)}")
    if experiment.note:
        lines = experiment.note.splitlines()
        text.append("\n  note " + "\n       ".join(lines))
    return text


def _version(experiment: Experiment) -> str:
    """The version of the data, where it is recorded and not asked for by its name."""
    if experiment.dataset_version is None:
        return ""
    reference = f"{experiment.data.get('dataset')}@{experiment.dataset_version}"
    return "" if reference == experiment.dataset_name else f", {reference}"


def _last(name: str) -> str:
    """The part of a model's or dataset's name that tells it apart in a narrow column."""
    if name.startswith("package:"):
        return name.removeprefix("package:").partition("/")[0]
    return name


def _as_json(experiment: Experiment, indent: int | None) -> str:
    return json.dumps(finite(asdict(experiment)), default=str, ensure_ascii=False, indent=indent)
