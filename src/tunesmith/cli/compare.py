"""`tunesmith compare`: experiments beside each other, and whether their scores really differ."""

from __future__ import annotations

import string
from collections.abc import Sequence

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.api.schemas.compare import ExperimentComparison
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.terminal import Terminal
from tunesmith.experiments.comparison import compare_experiments
from tunesmith.experiments.reconcile import reconcile
from tunesmith.settings import Settings
from tunesmith.tasks.values import readable
from tunesmith.tracking.compare import Compared, Comparison, Pair, Verdict
from tunesmith.tracking.differences import Difference, RowDifferences
from tunesmith.tracking.store import Store

WIDE = 100
"""Columns of a terminal that shows more than the figures."""

NARROW = 60
"""Columns below which the verdict stands only in the sentences under the table."""

OTHERS, OTHERS_NARROW = 49, 28
"""Columns that letter, score, interval and verdict take, and without the verdict."""

SHORTEST_NAME = 8
"""Columns that a name has at least."""

LONGEST_VALUE = 60
"""Characters of a value that are shown."""

_STYLES: dict[str, str] = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "red",
    Verdict.NOT_DISTINGUISHABLE: "yellow",
    Verdict.NOT_COMPARABLE: "dim",
}


@click.command(cls=OnceCommand)
@click.argument("references", metavar="ID|NAME|latest ...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The whole comparison, as the API gives it.")
def compare(references: tuple[str, ...], as_json: bool) -> None:
    """Compare 2 to 20 experiments: every other one against the first.

    Shows scores with 95 % intervals, a paired test where the evaluation rows are the same, and what
    differs in configuration, environment and data. Experiments that differ by their seed alone are
    grouped.
    """
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        found = compare_experiments([store.find(reference) for reference in references], settings)
    if as_json:
        echo(ExperimentComparison.model_validate(found).model_dump_json(indent=2))
        return
    _print(Terminal(highlight=False), found)


def _print(console: Console, found: Comparison) -> None:
    letters = dict(zip((e.id for e in found.experiments), string.ascii_uppercase, strict=False))
    console.print(_scores(found, letters, console.width))
    said = {pair.explanation for pair in found.pairs}
    for line in found.experiments:
        if line.note and line.note not in said:
            console.print(Text(f"{letters[line.id]}: {line.note}", "dim"))
    for pair in found.pairs:
        console.print()
        console.print(_sentence(pair, letters))
    for group in found.seeds:
        members = " ".join(letters[id_] for id_ in group.experiment_ids)
        console.print(
            f"\n{members} differ by their seed alone: {group.metric} {group.mean:.3f}, standard "
            f"deviation {group.standard_deviation:.3f}, {group.number} seeds; what is better "
            "among them is luck, and so may be any difference of that size"
        )
    for title, fields in (
        ("Configuration", found.config),
        ("Environment", found.environment),
        ("Data", found.data),
    ):
        if fields:
            console.print(f"\n[bold]{title}[/bold]")
            console.print(_differences(fields))
    for rows in found.rows:
        console.print()
        console.print(_rows(rows, letters))
    if command := _diff_command(found.experiments):
        console.print(Text("\nRows that differ: ").append(command, "green"))
    if any(pair.p_value is not None for pair in found.pairs):
        console.print(
            Text(
                "\nThe tests cover the choice of evaluation rows, not that of the seed: train each "
                "with several seeds to see both.",
                "dim",
            )
        )


def _scores(found: Comparison, letters: dict[str, str], width: int) -> Table:
    """The experiments, one a line; id, metric and data where there is room for them."""
    wide, verdict_fits = width >= WIDE, width >= NARROW
    verdicts = {pair.experiment_id: pair.verdict for pair in found.pairs}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    longest = max(cell_len(line.name) for line in found.experiments)
    room = max(
        SHORTEST_NAME, width // 3 if wide else width - (OTHERS if verdict_fits else OTHERS_NARROW)
    )
    table.add_column("name", width=min(longest, room), no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column("id", no_wrap=True)
        table.add_column("metric", no_wrap=True)
    table.add_column("score", min_width=5, justify="right", no_wrap=True)
    table.add_column("95 % interval", min_width=14, no_wrap=True)
    if wide:
        table.add_column("data", no_wrap=True, overflow="ellipsis")
    if verdict_fits:
        table.add_column("against A")
    for line in found.experiments:
        verdict = verdicts.get(line.id, "")
        interval = line.interval
        table.add_row(
            Text(letters[line.id], "bold"),
            Text(line.name),
            *([Text(line.id, "cyan"), Text(line.metric or "")] if wide else []),
            Text("" if line.score is None else f"{line.score:.3f}"),
            Text("" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}", "dim"),
            *([Text(line.dataset)] if wide else []),
            *([Text(verdict or "baseline", _STYLES.get(verdict, "dim"))] if verdict_fits else []),
        )
    return table


def _sentence(pair: Pair, letters: dict[str, str]) -> Text:
    """What can be said of a pair, with its difference."""
    text = Text.assemble((letters[pair.experiment_id], "bold"), "  ")
    if pair.difference is not None and pair.interval is not None:
        text.append(f"{pair.difference:+.3f} ", "bold")
        text.append(
            f"({pair.interval.low:+.3f} to {pair.interval.high:+.3f}, {pair.interval.method})  ",
            "dim",
        )
    return text.append(pair.explanation)


def _differences(fields: Sequence[Difference]) -> Table:
    """A field a line, with each of its values behind the letters of those that have it."""
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(style="cyan", overflow="fold", max_width=40)
    table.add_column(overflow="fold")
    for field in fields:
        groups: dict[str, str] = {}
        for letter, value in zip(string.ascii_uppercase, field.values, strict=False):
            shown = _value(value)
            groups[shown] = groups.get(shown, "") + letter
        cell = Text()
        for shown, who in groups.items():
            cell.append("   " if cell else "").append(" ".join(who), "bold").append(f" {shown}")
        table.add_row(Text(field.field), cell)
    return table


def _rows(rows: RowDifferences, letters: dict[str, str]) -> Text:
    """How many rows differ from the first one's data, and a few of them."""
    text = Text.assemble((letters[rows.experiment_id], "bold"), f"  {rows.old} → {rows.new}: ")
    if rows.counts is None:
        return text.append(rows.note or "", "dim")
    changed = [f"{count:,} {kind}" for kind, count in rows.counts.items() if count]
    text.append(", ".join(changed) or "the same rows in other places")
    for row in rows.examples:
        values = row.new or row.old or {}
        shown = ", ".join(
            f"{name}={value}"
            if row.old is None or row.new is None or row.old.get(name) == value
            else f"{name}={row.old.get(name)} → {value}"
            for name, value in values.items()
        )
        text.append(f"\n   {row.kind} ({row.split}): ", "dim").append(_value(shown))
    return text


def _value(value: object) -> str:
    """A value on one line, long hashes and lists by their beginning."""
    if isinstance(value, str):
        text = f"{value[:19]}…" if value.startswith("sha256:") else value
    else:
        text = "none" if value is None else readable(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _diff_command(experiments: Sequence[Compared]) -> str | None:
    """The command that shows the rows that differ, where two versions of one dataset are there."""
    first = experiments[0].dataset
    for other in experiments[1:]:
        same = first.rpartition("@")[0] == other.dataset.rpartition("@")[0]
        if "@" in first and same and other.dataset != first:
            return f"tunesmith data diff {first} {other.dataset}"
    return None
