"""`tunesmith analyze`: many experiments in groups, as a table, as JSON, as a page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.tables import Column, FittedTable
from tunesmith.cli.terminal import Terminal
from tunesmith.experiments.report import Section, render_report, sections, shown
from tunesmith.settings import Settings
from tunesmith.tracking import analyze as analysis
from tunesmith.tracking.analyze import Line
from tunesmith.tracking.entities import Filters, utc_now
from tunesmith.tracking.files import write_text
from tunesmith.tracking.store import Store


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
def analyze(
    group_by: tuple[str, ...],
    name: str | None,
    model: str | None,
    dataset: str | None,
    tags: tuple[str, ...],
    as_json: bool,
    html: Path | None,
) -> None:
    """Report over many experiments: score, speed, memory, time, in groups.

    Scores stand beside each other only where metric and evaluation rows are the same; whether the
    best is better than the next, or lucky, is what `tunesmith compare` says.
    """
    settings = Settings.read()
    with Store(settings.store_url) as store:
        chosen = store.list(Filters(name=name, model=model, dataset=dataset, tags=tags))
        found, store_name = analysis.analyze(chosen, group_by), store.name
    if html is not None:
        page = render_report(
            found,
            title="Experiments" + (f" by {', '.join(group_by)}" if group_by else ""),
            store=store_name,
            created=f"{utc_now().astimezone(settings.timezone):%Y-%m-%d %H:%M %Z}",
        )
        write_text(html, page)
    if as_json:
        echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
        return
    console = Terminal(highlight=False)
    if not found.lines:
        console.print("No experiments. Train one: tunesmith train")
    for section in sections(found):
        _print(console, section, group_by)
    if html is not None:
        console.print(Text(f"\npage  {html}", "dim"))


def _print(console: Console, section: Section, group_by: tuple[str, ...]) -> None:
    note = f"  {section.note}" if section.note else ""
    console.print(Text.assemble((f"\n{section.title}", "bold"), (note, "dim")))
    table = FittedTable(
        *(Column(field, cut=True) for field in group_by or ("",)),
        Column("number", right=True), Column("failed", right=True, spare=2),
        Column("best", right=True), Column("95 % interval", right=True),
        Column("mean", right=True, spare=1), Column("runtime", right=True, spare=3),
        Column("samples/s", right=True, spare=5), Column("memory", right=True, spare=4),
        Column("best is", spare=6),
    )  # fmt: skip
    for line in section.lines:
        table.add_row(*(line.group or ("all",)), *_figures(line))
    console.print(table)


def _figures(line: Line) -> list[str]:
    best = line.best
    interval = ""
    if best is not None and best.low is not None and best.high is not None:
        interval = f"{best.low:.3f} to {best.high:.3f}"
    mean = _figure(line.mean, "score")
    if line.standard_deviation is not None:
        mean += f" ± {line.standard_deviation:.3f}"
    return [
        str(line.experiments),
        str(line.failed or ""),
        _figure(best.score if best else None, "score"),
        interval,
        mean,
        _figure(line.median_runtime, "seconds"),
        _figure(line.median_speed, "number"),
        _figure(line.peak_memory, "bytes"),
        best.id if best else "",
    ]


def _figure(value: float | None, kind: str) -> str:
    return "" if value is None else shown(value, kind)
