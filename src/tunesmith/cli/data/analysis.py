"""An analysis of data in the terminal: labels, lengths, typical words, examples."""

from __future__ import annotations

import re

from rich.bar import Bar
from rich.table import Table

from tunesmith.cli.console.output import gettext, ngettext, word
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.data.analysis.distribution import Histogram
from tunesmith.data.analysis.rows import ExampleRow
from tunesmith.data.analysis.summary import Analysis, visible

LABELS_SHOWN = 20
FEW_LABELS = 5
"""Up to so many labels, each has all its examples; else one."""

_BLOCKS = " ▁▂▃▄▅▆▇█"
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of writing, for the rest of a terminal's line too."""


def print_analysis(console: Terminal, analysis: Analysis) -> None:
    """Print `analysis`, in the console's width: long labels and texts are cut, and say so."""
    console.print(_headline(analysis))
    for remark in analysis.remarks():
        console.print(Text("! ", "yellow").append(plain(remark), ""))
    if analysis.label_counts:
        _section(console, gettext("Labels"))
        console.print(_labels(analysis, console.width))
        if (more := len(analysis.label_counts) - LABELS_SHOWN) > 0:
            console.say("… and {more:,} more labels", "dim", more=more)
    if analysis.lengths:
        _section(console, gettext("Lengths"), gettext("of each row's text"))
        console.print(_lengths(analysis, console.width))
    if any(entry.words for entry in analysis.typical_words):
        note = gettext("used more than in the other labels, the surest first")
        _section(console, gettext("Typical words"), note)
        console.print(_words(analysis, console.width))
    if any(entry.rows for entry in analysis.examples):
        _section(console, gettext("Examples"), gettext("of middling length"))
        console.print(_examples(analysis, console.width))
    if analysis.longest:
        _section(console, gettext("Rows at the edges"))
        console.print(_edges(analysis))


def _section(console: Terminal, name: str, note: str = "") -> None:
    console.print(Text(f"\n{name}", "bold").append(f" ({note})" if note else "", "not bold dim"))


def _headline(analysis: Analysis) -> Text:
    line = Text(gettext("{rows:,} rows", rows=analysis.total_samples), "bold")
    if len(analysis.splits) > 1:
        parts = ", ".join(f"{plain(name)} {rows:,}" for name, rows in analysis.splits.items())
        line.append(f" ({parts})", "not bold")
    facts = []
    if analysis.label_counts:
        facts.append(ngettext("{n:,} label", "{n:,} labels", n=len(analysis.label_counts)))
    if analysis.imbalance_ratio is not None:
        facts.append(gettext("imbalance ratio {ratio:,.2f}", ratio=analysis.imbalance_ratio))
    duplicates, words = analysis.duplicates.rows, analysis.vocabulary_size
    facts.append(ngettext("{n:,} duplicate", "{n:,} duplicates", n=duplicates))
    facts.append(ngettext("{n:,} different word", "{n:,} different words", n=words))
    return line.append(", " + ", ".join(facts), "not bold")


def _labels(analysis: Analysis, width: int) -> Table:
    table = _table()
    table.add_column(
        gettext("label"), max_width=max(width // 3, 12), no_wrap=True, overflow="ellipsis"
    )
    table.add_column(gettext("rows"), justify="right", no_wrap=True)
    table.add_column(gettext("share"), justify="right", no_wrap=True)
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
        table.add_column(word(name), justify="right", no_wrap=True)
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
        shown = Text(words) if words else Text(gettext("none"), "dim")
        table.add_row(Text(plain(entry.label), "bold"), shown)
    return table


def _examples(analysis: Analysis, width: int) -> Table:
    table, examples = _table(), analysis.examples
    labelled = examples[0].label is not None
    if labelled:
        table.add_column(
            gettext("label"), max_width=max(width // 4, 12), no_wrap=True, overflow="ellipsis"
        )
    table.add_column(gettext("row"), justify="right", no_wrap=True, style="dim")
    table.add_column(gettext("text"), no_wrap=True, overflow="ellipsis", ratio=1)
    for entry in examples:
        shown = entry.rows if len(examples) <= FEW_LABELS else entry.rows[:1]
        for number, row in enumerate(shown):
            name = Text(plain(entry.label or "") if not number else "", "bold")
            table.add_row(*([name] if labelled else []), _place(row, analysis), _text(row))
    return table


def _edges(analysis: Analysis) -> Table:
    table = _table()
    table.add_column("", no_wrap=True)
    table.add_column(gettext("row"), justify="right", no_wrap=True, style="dim")
    table.add_column(gettext("characters"), justify="right", no_wrap=True)
    table.add_column(gettext("text"), no_wrap=True, overflow="ellipsis", ratio=1)
    repeated = analysis.duplicates.most_repeated
    groups = [
        *((gettext("shortest"), row) for row in analysis.shortest),
        *((gettext("longest"), row) for row in analysis.longest),
        *((gettext("{times:,} times", times=times), row) for row, times in repeated),
    ]
    before = ""
    for name, row in groups:
        title = Text(name if name != before else "", "bold")
        table.add_row(title, _place(row, analysis), f"{row.characters:,}", _text(row))
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
        text.append(f" → {plain(row.answer) or gettext('no answer')}", "dim")
    return text


def plain(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return _DIRECTION.sub("", visible(" ".join(text.split())))
