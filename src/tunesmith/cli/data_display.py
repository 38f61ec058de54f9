"""What `tunesmith data` shows: a check's report, versions, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import takewhile

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from tunesmith.cli.data_analysis import plain
from tunesmith.data.checks.report import DONE, CheckReport
from tunesmith.data.versions.diff import RowChange, VersionDiff
from tunesmith.experiments.datasets import Inquiry
from tunesmith.settings import Settings
from tunesmith.tasks.base import Columns
from tunesmith.tasks.values import readable
from tunesmith.tracking.entities import DatasetVersion

SHOWN_LABELS = 12
LABEL_LENGTH = 40
"""Characters of a label that are shown."""
SHORT_HASH = 4
ABOUT = 20
"""Columns that are worth a description."""
WIDE = 100
"""Columns of a terminal that shows more than the figures."""

_STYLES = {"drop": "red", "fail": "bold red", "fix": "green", "warn": "yellow"}


def print_report(console: Console, report: CheckReport, asked: Inquiry, columns: Columns) -> None:
    """What a check found: how many rows are left, each rule with its first rows, labels."""
    roles = ", ".join(f"{role} {name}" for role, name in columns.items())
    console.print(Text.assemble((asked.source.name, "bold"), f"  {asked.task.name}: {roles}"),
                  soft_wrap=True)  # fmt: skip
    console.print(Text(f"  {asked.source.hash[:19]}…", "dim"))
    dropped = report.rows_in - report.rows_out
    console.print(
        f"\n[bold]{report.rows_out:,}[/bold] of {report.rows_in:,} rows can be used, "
        f"{dropped:,} can't"
    )
    if refused := sum(report.failures.values()):
        console.print(
            Text(f"{refused:,} findings of rules whose action is fail: training stops", "bold red")
        )
    if report.table.is_empty():
        console.print(Text("No rule was broken.", "green"))
    else:
        console.print(_rules(report, console.width))
    if report.label_counts:
        console.print(_labels(report))
    for note in report.notes:
        console.print(Text(f"not looked at: {note}", "dim"), soft_wrap=True)


def _rules(report: CheckReport, width: int) -> Table:
    """One line per rule, column and action: how many rows, the first of them, what would help."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    for name in ("rule", "done"):
        table.add_column(name, no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("first", no_wrap=True, style="dim")
    table.add_column("example", ratio=1, no_wrap=width < WIDE, overflow="ellipsis")
    grouped = report.table.group_by("rule", "column", "action", maintain_order=True)
    found = sorted(grouped, key=lambda group: (_ORDER.index(str(group[0][2])), -group[1].height))
    for (rule, _, action), rows in found:
        first = rows.row(0, named=True)
        numbers = [str(row) for row in rows["row"].head(3).to_list() if row is not None]
        more = ", …" if rows.height > 3 else ""
        table.add_row(
            Text(str(rule)),
            Text(DONE[str(action)], _STYLES[str(action)]),
            f"{rows.height:,}" if numbers else "",
            ", ".join(numbers) + more,
            Text(plain(f"{first['value']}: {first['advice']}")),
        )
    return table


_ORDER = ("fail", "drop", "fix", "warn")


def _labels(report: CheckReport) -> Text:
    counts = sorted(report.label_counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{_short(label)} {rows:,}" for label, rows in counts[:SHOWN_LABELS])
    more = f", and {len(counts) - SHOWN_LABELS:,} more" if len(counts) > SHOWN_LABELS else ""
    text = Text.assemble(("\nlabels  ", "bold"), shown, more)
    if report.imbalance_ratio is not None:
        verdict = "balanced" if report.is_balanced else "not balanced"
        text.append(f"  ({report.imbalance_ratio:.2f} to 1: {verdict})", "dim")
    return text


def versions_table(
    found: Sequence[DatasetVersion], current: Set[str], settings: Settings, width: int
) -> Table:
    """Versions, one a line; `current` are the references of those that a name alone means."""
    rows = [
        [
            version.reference,
            f"{version.rows:,}",
            f"{version.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M}",
            version.hash.removeprefix("sha256:")[:12],
            ", ".join([*(["current"] if version.reference in current else []), *version.tags]),
        ]
        for version in found
    ]
    styles = {"version": "cyan", "rows": "", "made": "", "hash": "dim", "tags": ""}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, style in styles.items():
        justify: JustifyMethod = "right" if name == "rows" else "left"
        table.add_column(name, no_wrap=True, style=style, justify=justify)
    taken = sum(max(map(cell_len, column)) + 2 for column in zip(*rows, strict=True))
    if width < taken:
        table.columns[3].max_width = SHORT_HASH
    if width - taken >= ABOUT:
        table.add_column("about", no_wrap=True, overflow="ellipsis", max_width=width - taken - 2)
        for row, version in zip(rows, found, strict=True):
            row.append(plain(version.description or version.source))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_version(
    console: Console,
    version: DatasetVersion,
    settings: Settings,
    tables: Mapping[str, pa.Table] | None = None,
    rows: int = 0,
) -> None:
    """One version: where it is from, what it holds, its first rows where they are given."""
    made = version.created_at.astimezone(settings.timezone)
    splits = ", ".join(f"{name} {count:,}" for name, count in version.splits.items())
    facts = {
        "rows": f"{version.rows:,} ({splits})",
        "columns": ", ".join(version.columns),
        "hash": version.hash,
        "from": version.source,
        "made": f"{made:%Y-%m-%d %H:%M %Z} by {version.created_by}",
        "parent": "" if version.parent is None else f"{version.name}@{version.parent}",
        "tags": ", ".join(version.tags),
        "description": version.description,
    }
    if version.label_counts:
        counts = sorted(version.label_counts.items(), key=lambda pair: -pair[1])[:SHOWN_LABELS]
        facts["labels"] = ", ".join(f"{_short(label)} {count:,}" for label, count in counts)
    if broken := version.report.get("counts"):
        facts["rules broken"] = ", ".join(f"{rule} {count:,}" for rule, count in broken.items())
    console.print(Text(version.reference, "bold cyan"))
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {name}  ", "dim"), plain(value)), soft_wrap=True)
    for split, table in (tables or {}).items():
        if table.num_rows and rows:
            console.print(Text(f"\n{split}", "bold"))
            console.print(_first_rows(table, rows))
    console.print(
        Text.assemble(("\ntrain on it:  ", "dim"), f"data.dataset_name={version.reference}"),
        soft_wrap=True,
    )


def print_diff(
    console: Console, before: DatasetVersion, after: DatasetVersion, found: VersionDiff
) -> None:
    """What changed from one version to another: counts, label shift, examples."""
    console.print(Text(f"{before.reference} → {after.reference}", "bold cyan"))
    if found.is_empty:
        console.print(f"  the same {found.old_rows:,} rows in the same order")
        return
    counts = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    counts.add_column(justify="right")
    counts.add_column()
    for kind, style in {**_CHANGES, "unchanged": ""}.items():
        number = getattr(found, kind)
        if number or kind == "unchanged":
            counts.add_row(Text(f"{number:,}", style), _WORDS.get(kind, kind))
    console.print(counts)
    for names, what in ((found.columns_added, "added"), (found.columns_removed, "removed")):
        if names:
            console.print(f"  columns {what}: {', '.join(names)}")
    if found.reordered:
        console.print("  unchanged rows stand in another order")
    for note in found.notes:
        console.print(Text(f"  {note}", "dim"), soft_wrap=True)
    if any(shift.old != shift.new for shift in found.labels):
        console.print(_label_shifts(found))
    for kind, style in _CHANGES.items():
        if found.examples.get(kind):
            console.print(Text(f"\n{_WORDS.get(kind, kind)}", f"bold {style}"))
            console.print(_examples(found.examples[kind]))


_CHANGES = {
    "added": "green",
    "removed": "red",
    "relabelled": "yellow",
    "edited": "magenta",
    "moved": "blue",
}
"""Kind of change → its colour."""
_WORDS = {"moved": "moved to another split"}


def _label_shifts(found: VersionDiff) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("label")
    for name in ("before", "after", "change", "share before", "share after"):
        table.add_column(name, justify="right")
    for shift in sorted(found.labels, key=lambda shift: -abs(shift.new - shift.old))[:SHOWN_LABELS]:
        change = shift.new - shift.old
        table.add_row(
            Text(_short(shift.label) or "(none)"),
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
        shown.add_column(
            "row" if number else name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=None if number else 1,
            style="dim" if number else "",
        )
    for row in table.slice(0, count).to_pylist():
        shown.add_row(*(Text(_cell(row[name])) for name in names))
    return shown


def _short(label: str) -> str:
    text = plain(label)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def _cell(value: object) -> str:
    return plain(value if isinstance(value, str) else readable(value))
