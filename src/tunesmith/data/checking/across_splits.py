"""The rows of all splits while they are held against each other, with what several rules need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking import label_rules
from tunesmith.data.checking.examined import Examined, Integers, Mask
from tunesmith.data.checking.likeness import Likeness, compare, repeats
from tunesmith.data.texts import as_series, is_chat, joined_texts
from tunesmith.messages import joined


@dataclass(frozen=True)
class Texts:
    """The texts of one split's rows."""

    asked: pl.Series
    """What the model reads; several columns with a line break between them."""
    written: pl.Series
    """The same and the answer."""

    @classmethod
    def of(cls, rows: Examined) -> Texts:
        """The texts of the rows under examination."""
        read = [rows.table.column(name) for name in rows.asked]
        learned = [rows.table.column(name) for name in rows.written[len(rows.asked) :]]
        asked = joined_texts([as_series(column) for column in read])
        if not learned and not any(is_chat(column.type) for column in read):
            return cls(asked, asked)
        return cls(
            asked, joined_texts([as_series(each, answers=True) for each in (*read, *learned)])
        )


@dataclass
class Together:
    """The rows of every split that passed the rules for each row by itself."""

    sides: Sequence[Examined]
    """The split that is trained on first."""
    column: str
    """The column that findings about texts are noted at."""
    notes: list[str] = field(default_factory=list)
    """What could not be looked at, in words."""

    @property
    def rules(self) -> ValidationRules:
        """The bounds, and what happens to rows that break a rule."""
        return self.sides[0].rules

    @property
    def label(self) -> str | None:
        """The column whose values are labels, where the task has one."""
        return self.sides[0].label

    @cached_property
    def texts(self) -> Mapping[str, Texts]:
        """Split → the texts of its rows."""
        return {rows.split: Texts.of(rows) for rows in self.sides}

    @cached_property
    def labels(self) -> Mapping[str, pl.Series]:
        """Split → the labels of its rows; empty where the task has no column of labels."""
        return {} if self.label is None else {rows.split: rows.labels for rows in self.sides}

    @cached_property
    def label_counts(self) -> Mapping[str, int]:
        """Label → rows that have it."""
        return label_rules.count(list(self.labels.values()))

    @cached_property
    def rare_labels(self) -> Mapping[str, str]:
        """Label with suspiciously few rows → what may be wrong with it."""
        return label_rules.rare(self.label_counts)

    @cached_property
    def likeness(self) -> Likeness:
        """Which rows have equal texts, and nearly equal ones where a rule asks for it."""
        actions = self.sides[0].actions
        nearly = {actions["near_duplicates"], actions["near_leakage"]} != {"ignore"}
        return compare(
            {split: text.written for split, text in self.texts.items()},
            self.rules.near_duplicate_similarity if nearly else None,
        )

    @cached_property
    def contradictions(self) -> Mapping[int, str]:
        """Number of a text that stands with different labels → the labels, for people.

        Empty where nobody asks for it.
        """
        if self.label is None or self.sides[0].actions["conflicting_labels"] == "ignore":
            return {}
        numbers = [self.likeness.numbers[split] for split in self.labels]
        texts = pl.concat([label_rules.as_text(own) for own in self.labels.values()])
        frame = pl.DataFrame({"number": np.concatenate(numbers), "label": texts})
        frame = frame.filter(pl.col("number").is_duplicated())
        several = frame.group_by("number").agg(pl.col("label").unique().sort())
        several = several.filter(pl.col("label").list.len() > 1)
        return {
            number: joined([repr(label).replace("\\x1f", ", ") for label in found], " and ")
            for number, found in several.iter_rows()
        }

    def contradicting(self, split: str) -> dict[int, str]:
        """Index of a row of `split` whose text stands elsewhere with another label → the labels."""
        found, numbers = self.contradictions, self.likeness.numbers[split]
        rows = np.flatnonzero(np.isin(numbers, np.array([*found], dtype=np.int64)))
        return {row: found[int(numbers[row])] for row in rows.tolist()}

    @cached_property
    def repeats(self) -> Mapping[str, tuple[Integers, Integers]]:
        """Split → indices of its rows that an earlier one equals, and the first such ones."""
        labels = {split: label_rules.as_text(own) for split, own in self.labels.items()}
        return {
            split: repeats([text.written, *([labels[split]] if labels else [])])
            for split, text in self.texts.items()
        }

    @property
    def near_held_out(self) -> Mask:
        """Which rows of the first split have nearly a text that another has."""
        train, *others = (self.likeness.numbers[rows.split] for rows in self.sides)
        return self.likeness.near(train, np.concatenate(others))

    @cached_property
    def leaking(self) -> Mask:
        """Which rows of the first split have a text that another has too.

        Another answer to the same question gives the question away too.
        """
        train, *others = (rows.split for rows in self.sides)
        equal = self.likeness
        if self.texts[train].asked is not self.texts[train].written:
            equal = compare({split: text.asked for split, text in self.texts.items()}, None)
        held_out = np.concatenate([equal.numbers[other] for other in others])
        return np.asarray(np.isin(equal.numbers[train], held_out))
