"""The rows of one split while they are checked: which are left, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.data.checks.report import Action, Findings
from tunesmith.data.reading.rows import ROW
from tunesmith.tasks.values import quoted

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Examined:
    """A table under examination; rows that a rule drops stay until `settle`."""

    def __init__(
        self, split: str, table: pa.Table, actions: Mapping[str, Action], findings: Findings
    ) -> None:
        self.split = split
        self.table = table
        self.actions = actions
        self.findings = findings
        self.alive: Mask = np.ones(table.num_rows, dtype=bool)

    @property
    def rows(self) -> Integers:
        """The number of each row in its source, 1-based."""
        if ROW in self.table.column_names:
            return np.asarray(self.table.column(ROW).to_numpy(), dtype=np.int64)
        return np.arange(1, self.table.num_rows + 1, dtype=np.int64)

    def note(
        self,
        rule: str,
        broken: Mask | Integers,
        column: str,
        advice: str | Callable[[int], str],
        values: Sequence[str] | None = None,
        action: Action | None = None,
    ) -> None:
        """Note that the rows of `broken` (a mask, or indices) break `rule`, and do as it says.

        `advice` is one for all, or given the index of a row. `values` are as many as the rows
        broken; by default the values of `column`, shortened. `action` overrides the rule's own.
        """
        indices = np.flatnonzero(broken) if broken.dtype == bool else np.asarray(broken)
        action = action or self.actions[rule]
        if not len(indices) or action == "ignore":
            return
        if values is None:
            found = self.table.column(column).take(pa.array(indices)).to_pylist()
            values = [quoted(value) for value in found]
        told = advice if isinstance(advice, str) else [advice(index) for index in indices.tolist()]
        self.findings.add(self.split, self.rows[indices], column, rule, action, values, told)
        if action == "drop":
            self.alive[indices] = False

    def replace(self, column: str, values: pa.ChunkedArray) -> None:
        """Put `values` in the place of `column`."""
        self.table = self.table.set_column(self.table.column_names.index(column), column, values)

    def settle(self) -> None:
        """Let the rows go that were dropped."""
        if not self.alive.all():
            self.table = self.table.filter(pa.array(self.alive))
            self.alive = np.ones(self.table.num_rows, dtype=bool)
