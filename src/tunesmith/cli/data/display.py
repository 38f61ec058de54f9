"""What `tunesmith data` shows: a check's report, versions, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import takewhile
from typing import Any

import pyarrow as pa
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from tunesmith.cli.console.output import gettext, localized, word
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text
from tunesmith.cli.data.analysis import plain
from tunesmith.data.checking.report import DONE, CheckReport
from tunesmith.data.versions.diff import RowChange, VersionDiff
from tunesmith.experiments.datasets.importing import Inquiry
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion
from tunesmith.tasks.base import Columns
from tunesmith.tasks.parts.label_texts import MARKED
from tunesmith.values import readable

SHOWN_LABELS = 12
LABEL_LENGTH = 40
"""Characters of a label that are shown."""
WIDE = 100
"""Columns of a terminal that shows more than the figures."""

_STYLES = {"drop": "red", "fail": "bold red", "fix": "green", "warn": "yellow"}


def print_report(console: Terminal, report: CheckReport, asked: Inquiry, columns: Columns) -> None:
    """What a check found: how many rows are left, each rule with its first rows, labels."""
    marks = {MARKED: ", ".join(getattr(asked.task.options, "label_columns", None) or ())}
    roles = ", ".join(
        f"{word(role.replace('_', ' '))} {marks.get(name, name)}" for role, name in columns.items()
    )
    learned = gettext("  {name}: {roles}", name=asked.task.name, roles=roles)
    console.print(Text.assemble((asked.source.name, "bold"), learned), soft_wrap=True)
    console.print(Text(f"  {asked.source.hash[:19]}…", "dim"))
    for line in (*report.reading, *report.usage.lines()):
        console.say("  {line}", line=line, soft_wrap=True)  # Chinese has no spaces to break at
    dropped = report.rows_in - report.rows_out
    console.print(
        gettext(
            "\n[bold]{rows_out:,}[/bold] of {rows_in:,} rows can be used, {dropped:,} can't",
            rows_out=report.rows_out,
            rows_in=report.rows_in,
            dropped=dropped,
        )
    )
    if refused := sum(report.failures.values()):
        console.say(
            "{refused:,} findings of rules whose action is fail: training stops",
            "bold red",
            refused=refused,
        )
    if report.table.is_empty():
        console.say("No rule was broken.", "green")
    else:
        for part in _rules(report, console.width):
            console.print(part)
    if report.label_counts:
        console.print(_labels(report))
    for note in report.notes:
        console.say("not looked at: {what}", "dim", what=note, soft_wrap=True)


def _rules(report: CheckReport, width: int) -> Iterator[RenderableType]:
    """For each rule, column, action and split: how many rows, the first of them, one example with
    what would help; side by side where the terminal is wide, else stacked."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    for name in ("rule", "done"):
        table.add_column(word(name), no_wrap=True)
    table.add_column(gettext("rows"), justify="right", no_wrap=True)
    table.add_column(gettext("first"), style="dim")
    table.add_column(gettext("example"), ratio=1)
    several = report.table["split"].n_unique() > 1
    for rows in report.groups():
        first = report.said(rows.row(0, named=True))
        numbers = [str(row) for row in rows["row"].head(3).to_list() if row is not None]
        places = ", ".join(numbers) + (", …" if rows.height > 3 else "")
        if several and numbers:
            places = f"{first['split']} {places}"
        done = Text(DONE[first["action"]], _STYLES[first["action"]])
        count = f"{rows.height:,}" if numbers else ""
        example = Text(plain(gettext("{value}: {advice}", value=first["value"],
                                     advice=first["advice"])))  # fmt: skip
        if width >= WIDE:
            table.add_row(Text(first["rule"]), done, count, places, example)
            continue
        head = Text.assemble((first["rule"], "bold"), "  ", done, f" {count}  ", (places, "dim"))
        yield head
        yield Padding(example, (0, 0, 0, 4))
    if width >= WIDE:
        yield table


def _labels(report: CheckReport) -> Text:
    counts = sorted(report.label_counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{_short(label)} {rows:,}" for label, rows in counts[:SHOWN_LABELS])
    left = len(counts) - SHOWN_LABELS
    more = gettext(", and {n:,} more", n=left) if left > 0 else ""
    text = Text.assemble((gettext("\nlabels  "), "bold"), shown, more)
    if report.imbalance_ratio is not None:
        verdict = gettext("balanced") if report.is_balanced else gettext("not balanced")
        ratio = report.imbalance_ratio
        said = gettext("  ({ratio:.2f} to 1: {verdict})", ratio=ratio, verdict=verdict)
        text.append(said, "dim")
    return text


def versions_table(
    found: Sequence[DatasetVersion], current: Set[str], settings: Settings
) -> FittedTable:
    """Versions, one a line; `current` are the references of those that a name alone means."""
    table = FittedTable(
        Column("version"), Column("rows", right=True), Column("made", spare=1),
        Column("hash", spare=2), Column("tags"), Column("about", cut=True, spare=3),
    )  # fmt: skip
    for version in found:
        tags = [gettext("current")] if version.reference in current else []
        table.add_row(
            Text(version.reference, "cyan"),
            f"{version.rows:,}",
            f"{version.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M}",
            Text(version.hash.removeprefix("sha256:")[:12], "dim"),
            ", ".join([*tags, *version.tags]),
            Text(plain(version.description or version.source)),
        )
    return table


def print_version(
    console: Terminal,
    version: DatasetVersion,
    settings: Settings,
    tables: Mapping[str, pa.Table] | None = None,
    rows: int = 0,
) -> None:
    """One version: where it is from, what it holds, its first rows where they are given."""
    made = f"{version.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M %Z}"
    splits = ", ".join(f"{name} {count:,}" for name, count in version.splits.items())
    facts = {
        say("rows"): f"{version.rows:,} ({splits})",
        say("columns"): ", ".join(version.columns),
        say("hash"): version.hash,
        say("from"): version.source,
        say("reading"): "; ".join(map(localized, version.report.get("reading", ()))),
        say("made"): gettext("{made} by {created_by}", made=made, created_by=version.created_by),
        say("parent"): "" if version.parent is None else f"{version.name}@{version.parent}",
        say("tags"): ", ".join(version.tags),
        say("description"): version.description,
    }
    if version.label_counts:
        counts = sorted(version.label_counts.items(), key=lambda pair: -pair[1])[:SHOWN_LABELS]
        facts[say("labels")] = ", ".join(f"{_short(label)} {count:,}" for label, count in counts)
    if broken := version.report.get("counts"):
        counted = (f"{rule} {count:,}" for rule, count in broken.items())
        facts[say("rules broken")] = ", ".join(counted)
    console.print(Text(version.reference, "bold cyan"))
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {word(name)}  ", "dim"), plain(value)), soft_wrap=True)
    for split, table in (tables or {}).items():
        if table.num_rows and rows:
            console.print(Text(f"\n{split}", "bold"))
            console.print(_first_rows(table, rows))
    how = f"data.dataset_name={version.reference}"
    console.print(Text.assemble((gettext("\ntrain on it:  "), "dim"), how), soft_wrap=True)


def print_diff(
    console: Terminal, before: DatasetVersion, after: DatasetVersion, found: VersionDiff
) -> None:
    """What changed from one version to another: counts, label shift, examples."""
    console.print(Text(f"{before.reference} → {after.reference}", "bold cyan"))
    if found.is_empty:
        console.say("  the same {old_rows:,} rows in the same order", old_rows=found.old_rows)
        return
    counts = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    counts.add_column(justify="right")
    counts.add_column()
    for kind, (name, style) in _CHANGES.items():
        number = getattr(found, kind)
        if number or kind == "unchanged":
            counts.add_row(Text(f"{number:,}", style), Text(name))
    console.print(counts)
    for names, what in ((found.columns_added, "added"), (found.columns_removed, "removed")):
        if names:
            console.say("  columns {what}: {names}", what=what, names=", ".join(names))
    if found.reordered:
        console.say("  unchanged rows stand in another order")
    for note in found.notes:
        console.print(Text(f"  {word(note)}", "dim"), soft_wrap=True)
    if any(shift.old != shift.new for shift in found.labels):
        console.print(_label_shifts(found))
    for kind, (name, style) in _CHANGES.items():
        if found.examples.get(kind):
            console.print(Text("\n" + word(name), f"bold {style}"))
            console.print(_examples(found.examples[kind]))


_CHANGES = {
    "added": (say("added"), "green"),
    "removed": (say("removed"), "red"),
    "relabelled": (say("relabelled"), "yellow"),
    "edited": (say("edited"), "magenta"),
    "moved": (say("moved to another split"), "blue"),
    "unchanged": (say("unchanged"), ""),
}
"""Kind of change → what it is called, and its colour."""


def _label_shifts(found: VersionDiff) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(gettext("label"))
    for name in ("before", "after", "change", "share before", "share after"):
        table.add_column(word(name), justify="right")
    for shift in sorted(found.labels, key=lambda shift: -abs(shift.new - shift.old))[:SHOWN_LABELS]:
        change = shift.new - shift.old
        table.add_row(
            Text(_short(shift.label) or gettext("(none)")),
            f"{shift.old:,}",
            f"{shift.new:,}",
            Text(f"{change:+,}", "green" if change > 0 else "red" if change < 0 else ""),
            f"{shift.old_share:.1%}",
            f"{shift.new_share:.1%}",
        )
    return table


def _examples(changes: Sequence[RowChange]) -> Table:
    """Rows of one kind of change, the old one above the new one."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    for _ in changes[0].old or changes[0].new or ():
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for change in changes:
        cells = {name: _where_it_differs(change, name) for name in change.old or change.new or ()}
        if change.old is not None:
            old = (Text(before) for before, _ in cells.values())
            table.add_row(Text("-", "red"), f"{change.old_row}", *old)
        if change.new is not None:
            new = (Text(after) for _, after in cells.values())
            table.add_row(Text("+", "green"), f"{change.new_row}", *new)
    return table


def _where_it_differs(change: RowChange, column: str) -> tuple[str, str]:
    """The old and the new value, from a little before where they begin to differ."""
    old, new = (_cell((values or {}).get(column, "")) for values in (change.old, change.new))
    if change.old is None or change.new is None or old == new:
        return old, new
    same = takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))
    common = sum(1 for _ in same)
    start = max(0, common - KEPT_BEFORE) if common > SHOWN_BEFORE else 0
    mark = "…" if start else ""
    return mark + old[start:], mark + new[start:]


KEPT_BEFORE = 12
SHOWN_BEFORE = 25
"""Characters that two texts may have in common before the display begins nearer to the difference,
and how many it keeps then."""


def _first_rows(table: pa.Table, count: int) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    names = table.column_names
    for name in names:
        number = name == "_row"
        how: dict[str, Any] = {"style": "dim"} if number else {"ratio": 1}
        heading = gettext("row") if number else name
        shown.add_column(heading, no_wrap=True, overflow="ellipsis", **how)
    for row in table.slice(0, count).to_pylist():
        shown.add_row(*(Text(_cell(row[name])) for name in names))
    return shown


def _short(label: str) -> str:
    text = plain(label)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def _cell(value: object) -> str:
    return plain(value if isinstance(value, str) else readable(value))
