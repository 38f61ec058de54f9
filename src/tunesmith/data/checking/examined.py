"""The rows of one split while they are checked: which are left, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.config.rule_field import Action
from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking import label_rules, label_values
from tunesmith.data.checking.report import Findings
from tunesmith.data.reading.rows import ROW
from tunesmith.data.texts import as_series, mend
from tunesmith.messages import say
from tunesmith.tasks.base import Task
from tunesmith.values import quoted

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Examined:
    """A table under examination; rows that a rule drops stay until `settle`."""

    def __init__(
        self,
        split: str,
        table: pa.Table,
        task: Task,
        rules: ValidationRules,
        findings: Findings,
    ) -> None:
        self.split, self.table = split, table
        self.task = task
        self.rules = rules
        self.actions: Mapping[str, Action] = rules.actions_for(task)
        self.findings = findings
        self.alive: Mask = np.ones(table.num_rows, dtype=bool)
        self.asked = task.text_columns()
        """The columns with what is read."""
        self.written = [*self.asked, *task.answer_columns()]
        """The same, and those with text that is learned."""
        self.label = task.label_column()
        """The column whose values are labels, where the task has one."""
        self.no_labels: Mapping[int, str] = {}
        """Index of a row whose value can be no label → why."""
        self.blank_labels: Mapping[int, str] = {}
        """Index of a row whose label was a text for a missing value → the text."""
        self._lengths: dict[str, Integers] = {}

    def part(self, indices: Integers) -> Examined:
        """Some of the rows, examined by themselves; findings go to the same place."""
        table = self.table.take(pa.array(indices))
        return Examined(self.split, table, self.task, self.rules, self.findings)

    @property
    def rows(self) -> Integers:
        """The number of each row in its source, 1-based."""
        if ROW in self.table.column_names:
            return np.asarray(self.table.column(ROW).to_numpy(), dtype=np.int64)
        return np.arange(1, self.table.num_rows + 1, dtype=np.int64)

    def note(
        self,
        rule: str,
        broken: Mask | Integers | Collection[int],
        column: str,
        advice: str | Callable[[int], str],
        values: Sequence[str] | None = None,
        action: Action | None = None,
    ) -> None:
        """Note that the rows of `broken` (a mask, or indices) break `rule`, and do as it says.

        `advice` is one for all, or given the index of a row. `values` are those of the rows broken,
        ascending; by default the values of `column`, shortened. `action` overrides the rule's own.
        """
        if not isinstance(broken, np.ndarray):
            broken = np.array(sorted(broken), dtype=np.int64)
        indices = np.flatnonzero(broken) if broken.dtype == bool else broken
        action = action or self.actions[rule]
        if not len(indices) or action == "ignore":
            return
        if values is None:
            found = self.table.column(column).take(pa.array(indices)).to_pylist()
            values = [quoted(value) for value in found]
        plain = self.findings.plain  # many messages would take much memory
        advices = (
            advice if isinstance(advice, str) else [plain(advice(i)) for i in indices.tolist()]
        )
        self.findings.add(self.split, self.rows[indices], column, rule, action, values, advices)
        if action == "drop":
            self.alive[indices] = False

    def note_all(self, rule: str, column: str, value: str, advice: str) -> None:
        """Note what is wrong with all rows together, which drops none of them."""
        action = self.actions[rule]
        self.findings.add(self.split, [None], column, rule, action, [value], advice)

    def mend(
        self,
        rule: str,
        column: str,
        pattern: str,
        clean: Callable[[str], str],
        what: str,
        mended: str,
        *,
        answers: bool = False,
        stays: str | None = None,
    ) -> None:
        """Note the texts of `column` that match `pattern`, `clean` them where the rule says `fix`.

        `mended` is the advice, and where nothing is mended `stays`, or else `what` they hold; with
        `answers`, chats' answers are looked at too.
        """
        cleaned, indices, before = mend(self.table.column(column), pattern, clean, answers=answers)
        is_mended = self.actions[rule] == "fix"
        advice = mended if is_mended else stays or say("holds {what}: clean it", what=what)
        self.note(rule, indices, column, advice, [quoted(value) for value in before])
        if is_mended and len(indices):
            self.replace(column, cleaned)

    def read_labels(self) -> None:
        """Read the column of labels as the task does; texts that are read as others are noted."""
        assert self.label is not None
        found = label_values.parsed(self.table.column(self.label), self.task.parse_label)
        self.no_labels, self.blank_labels = found.faults, found.blanked
        read_as = found.cleaned
        self.note(
            "label_variants",
            read_as,
            self.label,
            lambda index: say("read as {label}", label=repr(read_as[index])),
            action="ignore" if self.actions["label_variants"] == "ignore" else "fix",
        )
        self.replace(self.label, found.column)

    def lengths(self, column: str) -> Integers:
        """Characters of each text of `column`, without white space at its ends."""
        if column not in self._lengths:
            counts = as_series(self.table.column(column)).str.strip_chars().str.len_chars()
            self._lengths[column] = np.asarray(counts.to_numpy(), dtype=np.int64)
        return self._lengths[column]

    @cached_property
    def labels(self) -> pl.Series:
        """The labels of each row, a list; for tasks with a column of labels."""
        return label_rules.row_labels(self.table.column(str(self.label)))

    @cached_property
    def unlabelled(self) -> Mask:
        """Which rows have no label."""
        return label_rules.missing(self.table.column(str(self.label)))

    def replace(self, column: str, values: pa.ChunkedArray) -> None:
        """Put `values` in the place of `column`."""
        self._forget()
        self.table = self.table.set_column(self.table.column_names.index(column), column, values)

    def settle(self) -> None:
        """Let the rows go that were dropped."""
        if not self.alive.all():
            self.table = self.table.filter(pa.array(self.alive))
            self.alive = np.ones(self.table.num_rows, dtype=bool)
            self._forget()

    def _forget(self) -> None:
        """What was found in the values is no longer true."""
        self._lengths.clear()
        for name in ("labels", "unlabelled"):
            self.__dict__.pop(name, None)
