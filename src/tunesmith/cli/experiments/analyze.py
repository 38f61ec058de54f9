"""`tunesmith analyze`: many experiments in groups, as a table, as JSON, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo_json, gettext, localized
from tunesmith.cli.console.records import opened
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text, interval
from tunesmith.experiments.questions.report import Section, render_report, sections, shown
from tunesmith.files.writing import write_text
from tunesmith.statistics import analysis
from tunesmith.statistics.analysis import Line
from tunesmith.store.entities.experiments import Filters, utc_now


@click.command(cls=OnceCommand)
@click.option(
    "--group-by",
    "group_by",
    multiple=True,
    metavar="FIELD",
    help="model, dataset, task, rank, learning_rate, status, tag … or a field of the "
    "configuration; several times for groups within groups.",
)
@click.option("--name", help="Only those whose name holds this.")
@click.option("--model", help="Only those whose base model's name holds this.")
@click.option("--dataset", help="Only those whose dataset's name holds this.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag.")
@click.option("--json", "as_json", is_flag=True, help="Every figure, for programs.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with plots to this file: no network, no script.",
)
def analyze(group_by: tuple[str, ...], as_json: bool, html: Path | None, **asked: Any) -> None:
    """Report over many experiments: score, speed, memory, time, in groups.

    Scores are shown side by side only where metric and evaluation rows are the same; whether the
    best is better than the next, or lucky, is what `tunesmith compare` says.
    """
    with opened() as (store, settings):
        chosen = store.list(Filters(**asked))
        found, store_name = analysis.analyze(chosen, group_by), store.name
    if html is not None:
        by = gettext(" by {names}", names=", ".join(group_by)) if group_by else ""
        title = gettext("Experiments") + by
        created = f"{utc_now().astimezone(settings.timezone):%Y-%m-%d %H:%M %Z}"
        write_text(html, render_report(found, title=title, store=store_name, created=created))
    if as_json:
        echo_json(found, indent=2)
        return
    console = Terminal()
    if not found.lines:
        console.say("No experiments. Train one: tunesmith train")
    for section in sections(found):
        _print(console, section, group_by)
    if html is not None:
        console.say("\npage  {html}", "dim", html=html)


def _print(console: Terminal, section: Section, group_by: tuple[str, ...]) -> None:
    note = f"  {localized(section.note)}" if section.note else ""
    console.print(Text.assemble(("\n" + localized(section.title), "bold"), (note, "dim")))
    table = FittedTable(
        *(Column(field, cut=True) for field in group_by or ("",)),
        Column("number", right=True), Column("failed", right=True, spare=2),
        Column("best", right=True), Column("95 % interval", right=True),
        Column("mean", right=True, spare=1), Column("runtime", right=True, spare=3),
        Column("samples/s", right=True, spare=5), Column("memory", right=True, spare=4),
        Column("best is", spare=6),
    )  # fmt: skip
    for line in section.lines:
        table.add_row(*(line.group or (gettext("all"),)), *_figures(line))
    console.print(table)


def _figures(line: Line) -> list[str]:
    best = line.best
    mean = _figure(line.mean, "score")
    if line.standard_deviation is not None:
        mean += f" ± {line.standard_deviation:.3f}"
    return [
        str(line.experiments),
        str(line.failed or ""),
        _figure(best.score if best else None, "score"),
        interval(best.low, best.high) if best else "",
        mean,
        _figure(line.median_runtime, "seconds"),
        _figure(line.median_speed, "number"),
        _figure(line.peak_memory, "bytes"),
        best.id if best else "",
    ]


def _figure(value: float | None, kind: str) -> str:
    return "" if value is None else shown(value, kind)
