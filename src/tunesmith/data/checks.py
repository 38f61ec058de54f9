"""Rules over rows: what breaks one is dropped or mended, and every case is in the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.content import canonical_strings
from tunesmith.data.files import ROW
from tunesmith.data.texts import row_texts, without_html
from tunesmith.errors import DataError, nearest, shorten
from tunesmith.tasks.values import canonical

Action = Literal["drop", "fix"]
_Mask = npt.NDArray[np.bool_]

SHOWN_ROWS = 5
SHOWN_VALUES = 10


class Rules(Protocol):
    """The rules that texts must keep; lengths in characters."""

    @property
    def min_text_length(self) -> int: ...
    @property
    def max_text_length(self) -> int | None: ...
    @property
    def allow_empty(self) -> bool: ...
    @property
    def remove_html(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that broke one rule in one column."""

    row: int
    """1-based number of the row in its source."""
    column: str
    rule: str
    value: str
    """The value, shortened."""
    action: Action
    """What was done: the row was dropped, or the value mended."""
    advice: str
    """What would make the row pass."""


@dataclass(frozen=True)
class CheckReport:
    """What rules found in the rows of one table."""

    rows_in: int
    rows_out: int
    findings: tuple[Finding, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Rule → number of findings, the most frequent first."""
        return dict(Counter(finding.rule for finding in self.findings).most_common())

    def then(self, later: CheckReport) -> CheckReport:
        """This report and that of a check on the rows it left, as one."""
        return CheckReport(self.rows_in, later.rows_out, self.findings + later.findings)

    def summary(self) -> str:
        """Lines for people: what happened to how many rows, and the first rows of each rule."""
        dropped = self.rows_in - self.rows_out
        lines = [f"{self.rows_in:,} rows checked, {dropped:,} dropped, {self.rows_out:,} left"]
        by_rule: dict[tuple[str, str, Action], list[Finding]] = {}
        for finding in self.findings:
            by_rule.setdefault((finding.rule, finding.column, finding.action), []).append(finding)
        for (rule, column, action), found in by_rule.items():
            rows = ", ".join(f"{finding.row}" for finding in found[:SHOWN_ROWS])
            more = ", …" if len(found) > SHOWN_ROWS else ""
            done = {"drop": "dropped", "fix": "mended"}[action]
            lines.append(f"  {rule} ({column}): {len(found):,} {done}, rows {rows}{more}")
        return "\n".join(lines)

    def totals(self) -> dict[str, Any]:
        """Rows before and after, and the findings of each rule."""
        return {"rows_in": self.rows_in, "rows_out": self.rows_out, "counts": self.counts}

    def to_json(self) -> dict[str, Any]:
        """The whole report in types that JSON knows."""
        return {
            **self.totals(),
            "findings": [
                {name: getattr(finding, name) for name in Finding.__slots__}
                for finding in self.findings
            ],
        }


def apply_rules(
    table: pa.Table, text_columns: list[str], rules: Rules
) -> tuple[pa.Table, CheckReport]:
    """The rows of `table` whose texts keep `rules`, HTML removed where asked, and the report.

    A text column holds strings, or chats: lists of `{role, content}`. In a chat the user's turns
    together are the text that lengths are taken of; HTML goes from every turn but the answers.
    Lengths are counted after HTML and without white space at the ends. An empty text is judged by
    `allow_empty` alone.

    Raises DataError when a column isn't there, or no row is left.
    """
    findings: list[Finding] = []
    keep: _Mask = np.ones(table.num_rows, dtype=bool)
    for column in text_columns:
        _require(table, column)
        if rules.remove_html:
            table = _remove_html(table, column, findings)
        for check in _broken(table.column(column), rules):
            keep &= ~check.mask
            _note(findings, table, column, check)
    kept = table if keep.all() else table.filter(pa.array(keep))
    findings.sort(key=lambda finding: finding.row)
    report = CheckReport(table.num_rows, kept.num_rows, tuple(findings))
    if table.num_rows and not kept.num_rows:
        raise DataError(
            f"no row is left after data.validation_rules:\n{report.summary()}\n"
            "Loosen the rules, or name the right text column"
        )
    return kept, report


def drop_labels(
    table: pa.Table,
    column: str,
    wanted: Sequence[Any] | None,
    action: Literal["drop", "fail"],
) -> tuple[pa.Table, CheckReport]:
    """The rows whose label is one of `wanted` (None: any), and the report on the others.

    Labels are compared as canonical strings: `1`, `1.0` and `"1"` are one label. A list of labels
    must be of wanted ones only, and may be empty. Rows without a label are dropped with either
    action.

    Raises DataError when the column isn't there, with action `fail` when there are other labels,
    and when no row is left.
    """
    _require(table, column)
    labels = table.column(column)
    missing, unknown = _judge_labels(labels, wanted)
    names = ", ".join(canonical(label) for label in wanted or ())
    if action == "fail" and unknown.any():
        raise DataError(_unknown_labels(table, column, unknown, names))
    keep = ~(missing | unknown)
    findings: list[Finding] = []
    _note(findings, table, column, _Check("missing_label", missing, "give the row a label"))
    advice = f"use one of {names}, or name the label in task.labels"
    _note(findings, table, column, _Check("unknown_label", unknown, advice))
    findings.sort(key=lambda finding: finding.row)
    kept = table if keep.all() else table.filter(pa.array(keep))
    if table.num_rows and not kept.num_rows:
        wanted_text = f" of {names}" if wanted else ""
        raise DataError(
            f"no row has a label{wanted_text} in column {column}; it holds {_values(labels)}"
        )
    return kept, CheckReport(table.num_rows, kept.num_rows, tuple(findings))


def keep_where(table: pa.Table, where: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The rows in which each column of `where` has one of its values, as canonical strings.

    Raises DataError when a column isn't there, or no row is left.
    """
    for column, values in where.items():
        _require(table, column)
        wanted = pa.array([canonical(value) for value in values], pa.large_string())
        kept = table.filter(pc.is_in(canonical_strings(table.column(column)), value_set=wanted))
        if table.num_rows and not kept.num_rows:
            raise DataError(
                f"no row has {' or '.join(wanted.to_pylist())} in column {column}; it holds "
                f"{_values(table.column(column))}"
            )
        table = kept
    return table


@dataclass(frozen=True)
class _Check:
    """The rows that broke a rule, and what to tell about each."""

    rule: str
    mask: _Mask
    advice: str | Callable[[int], str]
    """One advice for all, or one for the row at an index."""


def _broken(column: pa.ChunkedArray, rules: Rules) -> list[_Check]:
    """The rules that texts of `column` break."""
    text = row_texts(column)
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(text)).to_numpy()
    empty = lengths == 0
    checks = []
    if not rules.allow_empty:
        checks.append(_Check("allow_empty", empty, "write the text, or remove the row"))

    def at_least(index: int) -> str:
        return f"{lengths[index]} characters, at least {rules.min_text_length} are wanted"

    def at_most(index: int) -> str:
        return f"{lengths[index]:,} characters, at most {rules.max_text_length} are wanted"

    checks.append(_Check("min_text_length", ~empty & (lengths < rules.min_text_length), at_least))
    if rules.max_text_length is not None:
        checks.append(_Check("max_text_length", lengths > rules.max_text_length, at_most))
    return checks


def _note(findings: list[Finding], table: pa.Table, column: str, check: _Check) -> None:
    indices = np.flatnonzero(check.mask)
    if not len(indices):
        return
    rows = _row_numbers(table)
    values = table.column(column).take(pa.array(indices)).to_pylist()
    for index, value in zip(indices.tolist(), values, strict=True):
        advice = check.advice if isinstance(check.advice, str) else check.advice(index)
        findings.append(
            Finding(int(rows[index]), column, check.rule, shorten(value), "drop", advice)
        )


def _remove_html(table: pa.Table, column: str, findings: list[Finding]) -> pa.Table:
    """`table` with HTML gone from `column`; each row that changed is noted in `findings`."""
    mended, indices, before = without_html(table.column(column))
    rows = _row_numbers(table)
    for index, value in zip(indices, before, strict=True):
        advice = "nothing to do: the HTML was removed"
        row = int(rows[index])
        findings.append(Finding(row, column, "remove_html", shorten(value), "fix", advice))
    if not len(indices):
        return table
    return table.set_column(table.column_names.index(column), column, mended)


def _row_numbers(table: pa.Table) -> npt.NDArray[np.int64]:
    if ROW in table.column_names:
        return np.asarray(table.column(ROW).to_numpy(), dtype=np.int64)
    return np.arange(1, table.num_rows + 1, dtype=np.int64)


def _require(table: pa.Table, column: str) -> None:
    known = [name for name in table.column_names if not name.startswith("_")]
    if column not in table.column_names:
        likely = nearest(column, known)
        hint = f"; did you mean {likely}?" if likely else ""
        raise DataError(f"the data has no column {column!r}; it has: {', '.join(known)}{hint}")


def _judge_labels(labels: pa.ChunkedArray, wanted: Sequence[Any] | None) -> tuple[_Mask, _Mask]:
    """Which rows have no label, and which have one that isn't wanted."""
    known = None if wanted is None else {canonical(label) for label in wanted}
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type):
        rows = labels.to_pylist()
        missing = np.array([row is None or None in row for row in rows], dtype=bool)
        unknown = np.array(
            [bool({canonical(label) for label in row or ()} - (known or set())) for row in rows],
            dtype=bool,
        )
    else:
        texts = canonical_strings(labels)
        missing = pc.equal(pc.utf8_trim_whitespace(texts), "").to_numpy()
        values = pa.array(sorted(known or ()), pa.large_string())
        unknown = ~pc.is_in(texts, value_set=values).to_numpy()
    if known is None:
        unknown = np.zeros(len(labels), dtype=bool)
    return missing, unknown & ~missing


def _unknown_labels(table: pa.Table, column: str, unknown: _Mask, wanted: str) -> str:
    """The message for labels that `task.labels` doesn't name."""
    strange = table.filter(pa.array(unknown))
    rows = ", ".join(str(row) for row in _row_numbers(strange)[:SHOWN_ROWS])
    more = ", …" if strange.num_rows > SHOWN_ROWS else ""
    count = "1 row has" if strange.num_rows == 1 else f"{strange.num_rows:,} rows have"
    return (
        f"{count} a label in column {column} that is not one of {wanted}: "
        f"{_values(strange.column(column))} (rows {rows}{more}). To drop such rows set "
        "data.validation_rules.unknown_labels: drop; to learn them too, name them in task.labels"
    )


def _values(column: pa.ChunkedArray) -> str:
    """The most frequent values of a column with their counts, for messages."""
    counts = Counter(canonical_strings(column).to_pylist()).most_common()
    text = ", ".join(f"{shorten(value, 30)} ({n:,})" for value, n in counts[:SHOWN_VALUES])
    return text + (", …" if len(counts) > SHOWN_VALUES else "")
