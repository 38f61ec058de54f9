"""`tunesmith compare`: experiments side by side, and whether their scores really differ."""

from __future__ import annotations

import string
from collections.abc import Sequence

import click
from rich.table import Table

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, gettext, word
from tunesmith.cli.console.records import opened
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text, interval
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.messages import say
from tunesmith.names import Version, is_version
from tunesmith.schemas.compare import ExperimentComparison
from tunesmith.schemas.enums import Verdict
from tunesmith.statistics.comparison import Compared, Comparison, Pair
from tunesmith.statistics.differences import Difference, RowDifferences
from tunesmith.values import readable

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
    with opened() as (store, settings):
        reconcile(store, settings)
        asked = [store.find(reference) for reference in references]
        found = compare_experiments(asked, settings, store.looks(asked[0].test_side))
    if as_json:
        echo(ExperimentComparison.model_validate(found).model_dump_json(indent=2))
        return
    _print(Terminal(), found)


def _print(console: Terminal, found: Comparison) -> None:
    letters = dict(zip((e.id for e in found.experiments), string.ascii_uppercase, strict=False))
    console.print(_scores(found, letters))
    said = {pair.explanation for pair in found.pairs}
    for line in found.experiments:
        if line.note and line.note not in said:
            console.say("{letters}: {note}", "dim", letters=letters[line.id], note=line.note)
    if found.note is not None:
        console.print(found.note, style="yellow")
    for pair in found.pairs:
        console.print()
        console.print(_sentence(pair, letters))
    for group in found.seeds:
        members = " ".join(letters[id_] for id_ in group.experiment_ids)
        console.say(
            "\n{members} differ by their seed alone: {metric} {mean:.3f}, standard "
            "deviation {standard_deviation:.3f}, {number} seeds; what is better "
            "among them is luck, and so may be any difference of that size",
            members=members,
            metric=group.metric,
            mean=group.mean,
            standard_deviation=group.standard_deviation,
            number=group.number,
        )
    for title, fields in (
        (gettext("Figures"), found.figures),
        (gettext("Configuration"), found.config),
        (gettext("Environment"), found.environment),
        (gettext("Data"), found.data),
    ):
        if fields:
            console.print(f"\n[bold]{title}[/bold]")
            console.print(_differences(fields))
    for rows in found.rows:
        console.print()
        console.print(_rows(rows, letters))
    for lacking in found.lacks:
        console.print(Text(lacking, "dim"))
    if command := _diff_command(found.experiments):
        console.print(Text(gettext("\nRows that differ: ")).append(command, "green"))
    if any(pair.p_value is not None for pair in found.pairs):
        console.say(
            "\nThe tests cover the choice of evaluation rows, not that of the seed: "
            "train each with several seeds to see both.",
            "dim",
        )


def _scores(found: Comparison, letters: dict[str, str]) -> FittedTable:
    """The experiments, one a line; id, metric and data where there is room for them."""
    verdicts = {pair.experiment_id: pair.verdict for pair in found.pairs}
    table = FittedTable(
        Column(""), Column("name", cut=True), Column("id", spare=3), Column("metric", spare=4),
        Column("score", right=True), Column("95 % interval"), Column("data", cut=True, spare=2),
        Column("against A", wraps=True, spare=1),
    )  # fmt: skip
    for line in found.experiments:
        verdict, ends = verdicts.get(line.id, ""), line.interval
        table.add_row(
            Text(letters[line.id], "bold"),
            Text(line.name),
            Text(line.id, "cyan"),
            line.metric or "",
            "" if line.score is None else f"{line.score:.3f}",
            Text("" if ends is None else interval(ends.low, ends.high), "dim"),
            Text(line.dataset),
            Text(word(verdict or "baseline"), _STYLES.get(verdict, "dim")),
        )
    return table


def _sentence(pair: Pair, letters: dict[str, str]) -> Text:
    """What can be said of a pair, with its difference."""
    text = Text.assemble((letters[pair.experiment_id], "bold"), "  ")
    if pair.difference is not None and (ends := pair.interval) is not None:
        text.append(f"{pair.difference:+.3f} ", "bold")
        low, high, how = ends.low, ends.high, ends.method
        text.append(say("({low:+.3f} to {high:+.3f}, {how})  ", low=low, high=high, how=how), "dim")
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
    text.append(", ".join(changed) or gettext("the same rows in other places"))
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
        text = gettext("none") if value is None else readable(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _diff_command(experiments: Sequence[Compared]) -> str | None:
    """The command that shows the rows that differ, where two versions of one dataset are there."""
    first, *others = (each.dataset for each in experiments)
    if is_version(first):
        for other in others:
            same = is_version(other) and Version.of(other).name == Version.of(first).name
            if same and other != first:
                return gettext("tunesmith data diff {first} {dataset}", first=first, dataset=other)
    return None
