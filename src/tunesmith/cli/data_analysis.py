"""An analysis of data in the terminal: labels, lengths, typical words, examples."""

from __future__ import annotations

import re

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.data.analysis.distribution import Histogram
from tunesmith.data.analysis.rows import ExampleRow
from tunesmith.data.analysis.summary import Analysis, visible

LABELS_SHOWN = 20
FEW_LABELS = 5
"""Up to so many labels, each has all its examples; else one."""

_BLOCKS = " ▁▂▃▄▅▆▇█"
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of writing, for the rest of a terminal's line too."""


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Print `analysis`, in the console's width: long labels and texts are cut, and say so."""
    console.print(_headline(analysis))
    for remark in analysis.remarks():
        console.print(Text("! ", "yellow").append(plain(remark), ""))
    if analysis.label_counts:
        _section(console, "Labels")
        console.print(_labels(analysis, console.width))
        if (more := len(analysis.label_counts) - LABELS_SHOWN) > 0:
            console.print(f"… and {more:,} more labels", style="dim", highlight=False)
    if analysis.lengths:
        _section(console, "Lengths", "of each row's text")
        console.print(_lengths(analysis, console.width))
    if any(entry.words for entry in analysis.typical_words):
        _section(console, "Typical words", "used more than in the other labels, the surest first")
        console.print(_words(analysis, console.width))
    if any(entry.rows for entry in analysis.examples):
        _section(console, "Examples", "of middling length")
        console.print(_examples(analysis, console.width))
    if analysis.longest:
        _section(console, "Rows at the edges")
        console.print(_edges(analysis))


def _section(console: Console, name: str, note: str = "") -> None:
    console.print(Text(f"\n{name}", "bold").append(f" ({note})" if note else "", "not bold dim"))


def _headline(analysis: Analysis) -> Text:
    line = Text(f"{analysis.total_samples:,} rows", "bold")
    if len(analysis.splits) > 1:
        parts = ", ".join(f"{plain(name)} {rows:,}" for name, rows in analysis.splits.items())
        line.append(f" ({parts})", "not bold")
    facts = []
    if analysis.label_counts:
        facts.append(_count(len(analysis.label_counts), "label"))
    if analysis.imbalance_ratio is not None:
        facts.append(f"imbalance ratio {analysis.imbalance_ratio:,.2f}")
    facts.append(_count(analysis.duplicates.rows, "duplicate"))
    facts.append(_count(analysis.vocabulary_size, "different word"))
    return line.append(", " + ", ".join(facts), "not bold")


def _labels(analysis: Analysis, width: int) -> Table:
    table = _table()
    table.add_column("label", max_width=max(width // 3, 12), no_wrap=True, overflow="ellipsis")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    # Shares by split, where they leave room for the bars.
    splits = analysis.labels_by_split if 1 < len(analysis.labels_by_split) <= width // 27 else {}
    for split in splits:
        table.add_column(
            Text(plain(split)), justify="right", no_wrap=True, overflow="ellipsis", max_width=10
        )
    table.add_column("", ratio=1)
    total = sum(analysis.label_counts.values())
    most = max(analysis.label_counts.values())
    for label, rows in list(analysis.label_counts.items())[:LABELS_SHOWN]:
        shares = (f"{n.get(label, 0) / max(sum(n.values()), 1):.1%}" for n in splits.values())
        bar = Bar(most, 0, rows, color="cyan")
        table.add_row(Text(plain(label)), f"{rows:,}", f"{rows / total:.1%}", *shares, bar)
    return table


def _lengths(analysis: Analysis, width: int) -> Table:
    table = _table()
    table.add_column("", no_wrap=True)
    for name in ("least", "median", "mean", "95 %", "most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="crop", ratio=1, style="cyan")
    for name, found in analysis.measured().items():
        middle, high = found.quantiles[50], found.quantiles[95]
        figures = (f"{found.min:,}", f"{middle:,}", f"{found.mean:,.1f}", f"{high:,}")
        drawn = _drawn(found.histogram, ends=width >= 100)
        table.add_row(name, *figures, f"{found.max:,}", drawn)
    return table


def _drawn(histogram: Histogram, *, ends: bool) -> Text:
    """The histogram as a line of blocks, with the lengths at its ends where asked."""
    most = max(histogram.counts)
    blocks = "".join(
        _BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] if most else " "
        for count in histogram.counts
    )
    if not ends:
        return Text(blocks)
    first, last = histogram.edges[0], histogram.edges[-1]
    return Text(f"{first:,} ", "dim").append(blocks, "not dim").append(f" {last:,}")


def _words(analysis: Analysis, width: int) -> Table:
    table = _table(header=False)
    table.add_column(max_width=max(width // 4, 12), no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, overflow="fold")
    for entry in analysis.typical_words:
        words = ", ".join(plain(word.word) for word in entry.words)
        table.add_row(
            Text(plain(entry.label), "bold"), Text(words or "none", "" if words else "dim")
        )
    return table


def _examples(analysis: Analysis, width: int) -> Table:
    table, examples = _table(), analysis.examples
    labelled = examples[0].label is not None
    if labelled:
        table.add_column("label", max_width=max(width // 4, 12), no_wrap=True, overflow="ellipsis")
    table.add_column("row", justify="right", no_wrap=True, style="dim")
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for entry in examples:
        shown = entry.rows if len(examples) <= FEW_LABELS else entry.rows[:1]
        for number, row in enumerate(shown):
            name = Text(plain(entry.label or "") if not number else "", "bold")
            table.add_row(*([name] if labelled else []), _place(row, analysis), _text(row))
    return table


def _edges(analysis: Analysis) -> Table:
    table = _table()
    table.add_column("", no_wrap=True)
    table.add_column("row", justify="right", no_wrap=True, style="dim")
    table.add_column("characters", justify="right", no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    repeated = analysis.duplicates.most_repeated
    groups = [
        *(("shortest", row) for row in analysis.shortest),
        *(("longest", row) for row in analysis.longest),
        *((f"{times:,} times", row) for row, times in repeated),
    ]
    before = ""
    for name, row in groups:
        table.add_row(
            Text(name if name != before else "", "bold"),
            _place(row, analysis),
            f"{row.characters:,}",
            _text(row),
        )
        before = name
    return table


def _table(*, header: bool = True) -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), expand=True, show_header=header)


def _place(row: ExampleRow, analysis: Analysis) -> Text:
    """The row's number, with its split where there are several."""
    split = f"{plain(row.split)} " if len(analysis.splits) > 1 else ""
    return Text(f"{split}{row.row:,}")


def _text(row: ExampleRow) -> Text:
    text = Text(plain(row.text))
    if row.answer is not None:
        text.append(f" → {plain(row.answer) or 'no answer'}", "dim")
    return text


def plain(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return _DIRECTION.sub("", visible(" ".join(text.split())))


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
