"""The rules that look at each row by itself: its form, its characters, its length, its label."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import dataframely as dy
import numpy as np
import polars as pl
import pyarrow as pa

from tunesmith.data.checks import label_rules
from tunesmith.data.checks.examined import Examined
from tunesmith.data.filtering import frequent_values, require_column
from tunesmith.data.markup import HINT, strip_html
from tunesmith.data.mojibake import mend_encoding
from tunesmith.data.texts import as_series, is_chat, is_words, mend
from tunesmith.errors import DataError, nearest
from tunesmith.tasks.base import Columns, Task
from tunesmith.tasks.chat import Message, parse_messages, plain_turns
from tunesmith.tasks.values import canonical, quoted

BATCH_ROWS = 10_000

_LETTER = r"[\x{80}-\x{6ff}\x{2010}-\x{203a}\x{20ac}\x{2122}\x{2500}-\x{25ff}¬√]"
MOJIBAKE_HINT = rf"{_LETTER}{{2}}|[ÂÃ]\s|[\x{{80}}-\x{{9f}}]|�"
"""What wrongly decoded text is made of: letters of the old 8-bit encodings, two or more for each
that was meant, or codes that no encoding of today uses."""
CONTROL = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{200b}\x{202a}-\x{202e}\x{2066}-\x{2069}\x{feff}"
    r"\x{fff9}-\x{fffb}]"
)
"""Characters that nobody sees: control codes but tab and line ends, the zero-width space, marks
that turn the direction of writing (as in "Trojan source", CVE-2021-42574), byte-order marks."""
_INVISIBLE = str.maketrans(
    dict.fromkeys(
        [
            *range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x200B,
            *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF, *range(0xFFF9, 0xFFFC),
        ]
    )
)  # fmt: skip


class LengthRules(Protocol):
    """Bounds of a text, in characters."""

    @property
    def min_text_length(self) -> int: ...
    @property
    def max_text_length(self) -> int | None: ...


def check_form(examined: Examined, columns: Columns, task: Task) -> None:
    """Rows that the task can't use, such as chats without an answer; then chats in one form.

    Raises DataError when a column isn't there or can't hold text.
    """
    for column in columns.values():
        require_column(examined.table, column)
    if task.fault_rules:
        _note_faults(examined, columns, task)
        examined.settle()
    chats = task.chat_columns(columns)
    for column in chats:
        kind = examined.table.column(column).type
        if columns.get("messages") == column:
            if not _is_plain_chat(kind):
                _write_plain_chats(examined, column, parse_messages)
        elif pa.types.is_nested(kind) and not _is_plain_chat(kind):
            _write_plain_chats(examined, column, plain_turns)
    for column in task.text_columns(columns):
        kind = examined.table.column(column).type
        if column in chats:
            continue
        if pa.types.is_nested(kind) and not (task.points_into_text and is_words(kind)):
            raise DataError(
                f"column {column} holds {kind}, not text: name another column, or write its parts "
                "into columns of their own"
            )


def _is_plain_chat(kind: pa.DataType) -> bool:
    return is_chat(kind) and {part.name for part in kind.value_type} == {"role", "content"}


def _write_plain_chats(
    examined: Examined, column: str, read: Callable[[Any, str], list[Message]]
) -> None:
    """Chats written as JSON text, or with other names, as lists of {role, content}."""
    chats = [read(value, column) for value in examined.table.column(column).to_pylist()]
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    examined.replace(column, pa.chunked_array([pa.array(chats, pa.list_(turn))]))


def _note_faults(examined: Examined, columns: Columns, task: Task) -> None:
    """Note the faults that the task finds, a row at a time."""
    names = task.read_columns(columns)
    found: dict[str, dict[int, str]] = {rule: {} for rule in task.fault_rules}
    start = 0
    for batch in examined.table.select(names).to_batches(max_chunksize=BATCH_ROWS):
        values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        for index, row in enumerate(values, start):
            for rule, advice in task.faults(dict(zip(names, row, strict=True)), columns):
                found[rule].setdefault(index, advice)
        start += batch.num_rows
    column = [*columns.values()][-1]  # what is learned
    for rule, told in found.items():
        examined.note(rule, np.array(sorted(told), dtype=np.int64), column, told.__getitem__)


def mend_texts(examined: Examined, asked: Sequence[str], written: Sequence[str]) -> None:
    """Broken encoding and invisible characters out of `written`, HTML out of `asked` columns."""
    for column in written:
        _mend(examined, column, "broken_encoding", MOJIBAKE_HINT, mend_encoding, answers=True)
        lost = as_series(examined.table.column(column), answers=True).str.contains(
            "�", literal=True
        )
        examined.note(
            "broken_encoding",
            np.asarray(lost.to_numpy(), dtype=bool),
            column,
            "characters were lost (�): take the text from where it came from again",
            action="warn" if examined.actions["broken_encoding"] == "fix" else None,
        )
        _mend(examined, column, "control_characters", CONTROL, _visible, answers=True)
    for column in asked:
        _mend(examined, column, "html", HINT, strip_html, answers=False)


def _visible(text: str) -> str:
    return text.translate(_INVISIBLE)


_MENDED = {
    "broken_encoding": "text that was decoded in the wrong way",
    "control_characters": "invisible characters",
    "html": "HTML",
}


def _mend(
    examined: Examined,
    column: str,
    rule: str,
    pattern: str,
    clean: Callable[[str], str],
    *,
    answers: bool,
) -> None:
    action = examined.actions[rule]
    if action == "ignore":
        return
    mended, indices, before = mend(examined.table.column(column), pattern, clean, answers=answers)
    what = _MENDED[rule]
    advice = f"nothing to do: {what} was mended" if action == "fix" else f"holds {what}: clean it"
    if action == "fix" and rule != "broken_encoding":
        advice = f"nothing to do: the {what} {'was' if rule == 'html' else 'were'} removed"
    examined.note(rule, indices, column, advice, [quoted(value) for value in before])
    if action == "fix" and len(indices):
        examined.replace(column, mended)


def check_texts(examined: Examined, asked: Sequence[str], rules: LengthRules) -> None:
    """Empty, short and long texts; lengths in characters, without white space at the ends."""
    longest = rules.max_text_length
    length = pl.col("length")
    passes = {
        "empty_texts": length > 0,
        "short_texts": (length == 0) | (length >= rules.min_text_length),
        "long_texts": pl.lit(True) if longest is None else length <= longest,
    }
    for column in asked:
        texts = as_series(examined.table.column(column))
        lengths = texts.str.strip_chars().str.len_chars()
        frame = pl.DataFrame({"length": lengths.cast(pl.Int64)}).with_row_index("index")
        broken = _broken(frame, passes)

        def at_least(index: int, lengths: pl.Series = lengths) -> str:
            return f"{lengths[index]:,} characters, at least {rules.min_text_length:,} are wanted"

        def at_most(index: int, lengths: pl.Series = lengths) -> str:
            return f"{lengths[index]:,} characters, at most {longest:,} are wanted"

        examined.note(
            "empty_texts", broken["empty_texts"], column, "write the text, or remove the row"
        )
        examined.note("short_texts", broken["short_texts"], column, at_least)
        examined.note("long_texts", broken["long_texts"], column, at_most)


def _always(passing: pl.Expr) -> Callable[[Any], pl.Expr]:
    return lambda _: passing


def check_labels(
    examined: Examined, column: str, wanted: Sequence[str] | None, labels: pl.Series
) -> None:
    """Missing labels, and those that `wanted` doesn't name; `labels` are the rows' own."""
    values = examined.table.column(column)
    missing = label_rules.missing(values)
    examined.note("missing_labels", missing, column, "give the row a label")
    names = ", ".join(wanted or ())
    known = list(wanted or ())
    likely_one = functools.cache(lambda label: nearest(label, known))

    def advice(index: int) -> str:
        likely = likely_one(canonical(values[index].as_py()))
        hint = f"; did you mean {likely}?" if likely else ""
        return f"use one of {names}, or name the label in task.labels{hint}"

    unknown = label_rules.unknown(labels, wanted) & ~missing
    if (missing | unknown).all() and examined.actions["unknown_labels"] != "fail":
        of = f" of {names}" if wanted else ""
        raise DataError(
            f"no row has a label{of} in column {column}; it holds {frequent_values(values)}"
        )
    examined.note("unknown_labels", unknown, column, advice)


def _broken(frame: pl.DataFrame, passes: Mapping[str, pl.Expr]) -> dict[str, Any]:
    """Rule → indices of the rows that don't pass it; `frame` has their `index`."""
    content = {column: dy.Any() for column in frame.columns}
    rules = {name: dy.rule()(_always(passing)) for name, passing in passes.items()}
    schema: Any = type("Rows", (dy.Schema,), {**content, **rules})
    _, failed = schema.filter(frame)
    details = failed.details()
    return {
        rule: details.filter(pl.col(rule) == "invalid")["index"].cast(pl.Int64).to_numpy()
        for rule in passes
    }
