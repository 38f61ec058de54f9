"""What is in a dataset: its labels, lengths, duplicates, typical words and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tunesmith.data.analysis.distribution import Distribution, distribution
from tunesmith.data.analysis.rows import Chats, Duplicates, ExampleRow, Rows
from tunesmith.data.analysis.typical_words import TypicalWord
from tunesmith.errors import shorten
from tunesmith.messages import say, say_plural

BALANCED_UP_TO = 3.0
"""The imbalance ratio up to which labels count as balanced."""
LABELS_DETAILED = 20
"""Typical words and examples are given for so many labels, the most frequent ones."""

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_PICTURES |= {127: 0x2421} | dict.fromkeys(range(128, 160), 0xFFFD)


@dataclass(frozen=True, slots=True)
class LabelExamples:
    """Rows of one label whose length is near the label's median; label None: of all rows."""

    label: str | None
    rows: list[ExampleRow]


@dataclass(frozen=True, slots=True)
class LabelWords:
    """The words that are typical of one label."""

    label: str
    words: list[TypicalWord]


@dataclass(frozen=True)
class Analysis:
    """What is in a dataset. Labels are canonical strings, the most frequent first."""

    total_samples: int
    splits: dict[str, int]
    """Split → its rows."""
    text_columns: list[str]
    label_column: str | None
    label_counts: dict[str, int]
    labels_by_split: dict[str, dict[str, int]]
    missing_labels: int
    imbalance_ratio: float | None
    """Rows of the most frequent label by those of the least; None with fewer than two labels."""
    is_balanced: bool | None
    missing_texts: int
    """Rows in which a text column holds nothing."""
    empty_texts: int
    """Rows in which a text column holds white space only."""
    duplicates: Duplicates
    lengths: dict[str, Distribution]
    """`characters`, `words` and, where they were counted, `tokens` of a row's text."""
    vocabulary_size: int
    typical_words: list[LabelWords]
    examples: list[LabelExamples]
    longest: list[ExampleRow]
    shortest: list[ExampleRow]
    chats: Chats | None = None

    def measured(self) -> dict[str, Distribution]:
        """Everything that has a distribution, by its name for people."""
        found = dict(self.lengths)
        chats = self.chats
        if chats is not None:
            of_chats = {
                "turns": chats.turns,
                "answer characters": chats.answer_characters,
                "answer words": chats.answer_words,
            }
            found |= {name: value for name, value in of_chats.items() if value is not None}
        return found

    def remarks(self) -> list[str]:
        """What is worth a look before training, one sentence each; empty where nothing is."""
        found = [
            say_plural("{n:,} row has no label.", "{n:,} rows have no label.",
                       n=self.missing_labels),
            say_plural("{n:,} row has no text at all.", "{n:,} rows have no text at all.",
                       n=self.missing_texts),
            say_plural("{n:,} row has a text of nothing but white space.",
                       "{n:,} rows have a text of nothing but white space.", n=self.empty_texts),
            say_plural("{n:,} row has the text of an earlier row (case and spaces aside).",
                       "{n:,} rows have the text of an earlier row (case and spaces aside).",
                       n=self.duplicates.rows),
            say_plural("{n:,} row has no answer to learn from.",
                       "{n:,} rows have no answer to learn from.",
                       n=self.chats.without_answer if self.chats else 0),
        ]  # fmt: skip
        lines: list[str] = [message for message in found if message.values["n"]]
        if self.is_balanced is False and self.imbalance_ratio is not None:
            names = list(self.label_counts)
            lines.insert(
                0,
                say(
                    "The labels are unbalanced: {names} has {imbalance_ratio:,.1f} times the "
                    "rows of {names2}.",
                    names=shorten(names[0]),
                    imbalance_ratio=self.imbalance_ratio,
                    names2=shorten(names[-1]),
                ),
            )
        if len(self.label_counts) == 1:
            lines.insert(0, say("There is a single label: nothing to tell apart."))
        tokens = self.lengths.get("tokens")
        if tokens is not None and tokens.over_limit:
            lines.append(
                say(
                    "{over_limit:.1%} of the rows are longer than {limit:,} tokens, and "
                    "would be cut.",
                    over_limit=tokens.over_limit,
                    limit=tokens.limit,
                )
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The analysis in types that JSON knows, in the order of the fields."""
        values = asdict(self)
        if self.imbalance_ratio is not None:
            values["imbalance_ratio"] = round(self.imbalance_ratio, 2)
        # JSON's own keys are strings; written here, so that what is read back is equal.
        for measured in (*values["lengths"].values(), *(values["chats"] or {}).values()):
            if isinstance(measured, dict):
                measured["quantiles"] = {str(q): n for q, n in measured["quantiles"].items()}
        repeated = values["duplicates"]["most_repeated"]
        values["duplicates"]["most_repeated"] = [{**row, "times": n} for row, n in repeated]
        return values


def analyze(
    tables: Mapping[str, pa.Table],
    *,
    text_columns: list[str],
    label_column: str | None,
    token_counts: Callable[[pa.Table], list[int]] | None = None,
    words: int = 12,
    examples: int = 3,
    max_length: int | None = None,
) -> Analysis:
    """What is in `tables` (split → rows, with `_row`).

    The text of a row is that of its `text_columns`, a line break between them; of a chat, the
    user's turns. A label column may hold lists: the row counts for each label in it.
    `token_counts` gives the tokens of each row of a table that a model can read, uncut;
    `max_length` is the most it would read of them. `words` and `examples` are how many are given
    for each label.

    Raises DataError when a column isn't there.
    """
    read = Rows(tables, text_columns, label_column)
    counts = read.label_counts()
    detailed = list(counts)[:LABELS_DETAILED]
    ratio = max(counts.values()) / min(counts.values()) if len(counts) > 1 else None
    lengths = {"characters": read.characters, "words": read.count_words(detailed)}
    measured = {name: distribution(values) for name, values in lengths.items()}
    if token_counts is not None:
        tokens = np.array([n for table in tables.values() for n in token_counts(table)], np.int64)
        measured["tokens"] = distribution(tokens, max_length)
    by_label = read.words.typical(words) if counts else {}
    numbers = {name: number for number, name in enumerate(read.label_names)}
    return Analysis(
        total_samples=len(read.characters),
        splits={name: table.num_rows for name, table in tables.items()},
        text_columns=list(text_columns),
        label_column=label_column,
        label_counts=counts,
        labels_by_split=read.labels_by_split(counts),
        missing_labels=read.missing_labels,
        imbalance_ratio=ratio,
        is_balanced=None if ratio is None else ratio <= BALANCED_UP_TO,
        missing_texts=int(read.missing.sum()),
        empty_texts=int((read.empty & ~read.missing).sum()),
        duplicates=read.duplicates(examples),
        lengths={name: found for name, found in measured.items() if found is not None},
        vocabulary_size=read.words.vocabulary_size(),
        typical_words=[LabelWords(name, by_label.get(numbers[name], [])) for name in detailed],
        examples=[
            LabelExamples(name, read.typical_rows(numbers[name], examples)) for name in detailed
        ]
        or [LabelExamples(None, read.typical_rows(None, examples))],
        longest=read.extremes(examples, longest=True),
        shortest=read.extremes(examples, longest=False),
        chats=read.chats(),
    )


def visible(text: str) -> str:
    """`text` with control characters, which pages and terminals would obey, as their pictures.

    Pictures are U+2400 and on; what has none becomes U+FFFD. Line breaks and tabs stay.
    """
    return text.translate(_PICTURES)
