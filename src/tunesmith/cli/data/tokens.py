"""What `tunesmith data tokens` shows: rows as the model sees them, with colours or with marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

from tunesmith.cli.console.output import gettext, word
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.cli.data.analysis import plain
from tunesmith.data.analysis.summary import visible
from tunesmith.schemas.row_tokens import RowsAsTokens, RowTokens, TokenSequence, TokenState

How = Literal["read", "learned", "cut"]

_MARKS: dict[How, tuple[str, str]] = {
    "read": ("", ""),
    "learned": ("{+ ", " +}"),
    "cut": ("[- ", " -]"),
}
"""What stands around tokens where there are no colours, as wdiff writes it."""
_STYLES: dict[How, str] = {"read": "", "learned": "bold green", "cut": "dim strike"}
_UNKNOWN = {"unknown": "?", "byte": "~"}
"""Marks before a token that says little of its text."""


def print_tokens(console: Terminal, found: RowsAsTokens) -> None:
    """Each row with its tokens, and what the marks mean."""
    of = Text.assemble((found.model, "bold"), f"  {found.task}")
    console.print(of, soft_wrap=True)
    for note in found.notes:
        console.say("{note}", "yellow", note=note)
    coloured = console.color_system is not None
    for row in found.rows:
        _print_row(console, row, found.max_length, coloured=coloured)
    console.print()
    legend = (
        gettext("green: learned; struck through: cut off, the model doesn't see it")
        if coloured
        else gettext(
            "{learned}: learned; {cut}: cut off, the model doesn't see it",
            learned="".join(_MARKS["learned"]).replace("  ", " "),
            cut="".join(_MARKS["cut"]).replace("  ", " "),
        )
    )
    console.print(Text(legend, "dim"))
    console.print(
        Text(gettext("?: unknown to the model; ~: a part of a character; ·: a space"), "dim")
    )


def _print_row(console: Terminal, row: RowTokens, limit: int, *, coloured: bool) -> None:
    heading = gettext("\nrow {row} of {split}", row=row.row, split=row.split)
    console.print(Text(heading, "bold cyan"))
    for why in row.left_out:
        console.say("  left out: {why}", "red", why=why)
    for finding in row.findings:
        console.say("  {finding}", "yellow", finding=finding)
    for sequence in row.sequences:
        counts = ", ".join(_counts(sequence.tokens, limit))
        console.print(Text.assemble((f"  {word(sequence.name)}  ", "bold"), counts))
        console.print(_line(sequence, coloured=coloured))
    if row.target is not None:
        console.print(Text.assemble((gettext("  learned  "), "dim"), (plain(row.target), "green")))


def _counts(tokens: Sequence[TokenState], limit: int) -> Iterator[str]:
    """How many tokens there are, and of what kinds."""
    seen = [token for token in tokens if not token.is_cut]
    yield gettext("{n:,} tokens", n=len(tokens))
    if cut := len(tokens) - len(seen):
        yield gettext("{n:,} cut off by data.max_length={limit}", n=cut, limit=limit)
    if learned := sum(token.is_learned for token in seen):
        yield gettext("{n:,} learned", n=learned)
    if unknown := sum(token.kind == "unknown" for token in seen):
        yield gettext("{n:,} unknown", n=unknown)
    if parts := sum(token.kind == "byte" for token in seen):
        yield gettext("{n:,} parts of characters", n=parts)


def _line(sequence: TokenSequence, *, coloured: bool) -> Text:
    """The tokens with spaces between them; those of one kind within one pair of marks."""
    line = Text("  ")
    for how, tokens in groupby(sequence.tokens, _how):
        before, after = ("", "") if coloured else _MARKS[how]
        line.append(before)
        line.append_text(Text(" ").join(_written(list(tokens), _STYLES[how])))
        line.append(f"{after} ")
    return line


def _how(token: TokenState) -> How:
    return "cut" if token.is_cut else "learned" if token.is_learned else "read"


def _written(tokens: Sequence[TokenState], style: str) -> Iterator[Text]:
    for token in tokens:
        text = visible(token.text.replace("\n", "⏎").replace(" ", "·"))
        tag = f"/{token.tag}" if token.tag else ""
        own = {"unknown": "bold red", "byte": "red", "special": "cyan"}.get(token.kind, "")
        yield Text(f"{_UNKNOWN.get(token.kind, '')}{text}{tag}", f"{style} {own}".strip())
