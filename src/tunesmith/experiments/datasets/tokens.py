"""Rows as the model will see them: encoded as in training, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.config.presets import presets
from tunesmith.config.rules import RULES
from tunesmith.config.yaml import Draft
from tunesmith.data.checking.report import CheckReport
from tunesmith.data.dataset import Examination, examine
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import read_data
from tunesmith.errors import ConfigError, DataError, Problem
from tunesmith.experiments.datasets.importing import (
    Inquiry,
    find_model,
    open_versions,
    token_counter,
)
from tunesmith.messages import say
from tunesmith.models.load import load_tokenizer
from tunesmith.schemas.row_tokens import (
    MOST_ROWS,
    RowsAsTokens,
    RowTokens,
    TokenSequence,
    TokenState,
)
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Example, Row, Task
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.tokens.unknown import Vocabulary
from tunesmith.values import readable

FITTED = 50_000
"""Rows, the first and those that are shown, from which labels are found out."""

STOPS = ("drop", "fail")
SCRIPT = "unknown_tokens"
"""The rule that looks at all rows together, by a sample of them."""


def usual_model(task: str) -> str | None:
    """The base model of the ready-made configuration for `task`; None where there is none."""
    named = (
        each.config["model"]["name"]
        for each in presets().values()
        if task in (each.config.get("task"), (each.config.get("task") or {}).get("name"))
    )
    return next(named, None)


def tokens_of_draft(draft: Draft, numbers: Sequence[int], settings: Settings) -> RowsAsTokens:
    """`rows_as_tokens` of a configuration's data. Raises ConfigError, DataError, ModelError."""
    config = draft.config()
    task: Task = TASKS[config.task_name](config.task)
    source = read_data(config.data, token=settings.token, versions=open_versions(settings))
    model = find_model(config, settings, convert=False)  # its tokenizer alone is read
    return rows_as_tokens(Inquiry(config.data, task, source, model), numbers)


def rows_as_tokens(
    inquiry: Inquiry, numbers: Sequence[int], split: str | None = None
) -> RowsAsTokens:
    """The rows of these `numbers` in their source as the model sees them.

    They stand in `split`; by default in the one that is trained on, else in the one for evaluation.
    Raises ConfigError without a model, DataError when there is no such row.
    """
    task, model = inquiry.task, inquiry.model
    if model is None:
        raise ConfigError([Problem("model.name", say("required, and not given"))])
    if len(numbers) > MOST_ROWS:
        raise DataError("at most {most} rows are shown at once", most=MOST_ROWS)
    found = _examined(inquiry)
    tokenizer = load_tokenizer(model)
    task.prepare_tokenizer(tokenizer)
    places = [_place(found, number, split) for number in numbers]
    kept = {place: _row(found, *place) for place in places}
    first = found.checked.tables[found.train_split].slice(0, FITTED).to_pylist()
    known = [*first, *(row for row in kept.values() if row is not None)]
    task.fit(known, known)
    limit = inquiry.request.max_length
    seen = _Seen(task, tokenizer, limit)
    rows = [_shown(found.checked.report, place, kept[place], seen) for place in places]
    report = found.checked.report
    notes = [
        say("{value}: {advice}", value=each["value"], advice=each["advice"])
        for each in map(report.said, report.table.filter(rule=SCRIPT).to_dicts())
    ]
    return RowsAsTokens(task=task.name, model=model.name, max_length=limit, notes=notes, rows=rows)


def _examined(inquiry: Inquiry) -> Examination:
    """The rows under the rules; what takes long is done where rows could be left out by it."""
    request, task = inquiry.request, inquiry.task
    stopping = {rule for rule, does in request.validation_rules.actions.items() if does in STOPS}
    passed = {*task.token_rules} - stopping - {SCRIPT}
    rules = request.validation_rules.model_copy(update=dict.fromkeys(passed, "ignore"))
    request = request.model_copy(update={"validation_rules": rules})
    return examine(
        request,
        task,
        inquiry.source,
        tokens=token_counter(task, inquiry.model),
        compare=any(RULES[rule].compares for rule in stopping),
    )


def _place(found: Examination, number: int, split: str | None) -> tuple[str, int]:
    """The split and the number of a row. Raises DataError when it isn't there."""
    tables = found.source.tables
    wanted = [split] if split else [found.train_split, found.eval_split]
    for name in filter(None, wanted):
        numbers = tables[name].column(ROW) if name in tables else pa.chunked_array([[]], pa.int64())
        noted = found.checked.report.table.filter(split=name, row=number)
        if pc.index(numbers, pa.scalar(number, pa.int64())).as_py() >= 0 or noted.height:
            return name, number
    there = ", ".join(f"{name} 1-{table.num_rows}" for name, table in tables.items())
    raise DataError(
        "there is no row {number} in {name}; there is {there}",
        number=number,
        name=split or found.source.name,
        there=there,
    )


def _row(found: Examination, split: str, number: int) -> Row | None:
    """The row as the rules left it; None where they left it out."""
    table = found.checked.tables.get(split)
    if table is None:
        return None
    rows = table.filter(pc.equal(table.column(ROW), pa.scalar(number, pa.int64()))).to_pylist()
    return rows[0] if rows else None


def _shown(report: CheckReport, place: tuple[str, int], row: Row | None, seen: _Seen) -> RowTokens:
    split, number = place
    of_row = (pl.col("split") == split) & (pl.col("row") == number)
    notes = [
        (each["action"], say("{rule}: {advice}", rule=each["rule"], advice=each["advice"]))
        for each in map(report.said, report.table.filter(of_row).to_dicts())
    ]
    left_out = [note for action, note in notes if action in STOPS]
    if row is None and not left_out:
        left_out = [say("data.where, or the choice of splits, leaves it out")]
    sequences = [] if row is None else list(seen.sequences(row))
    return RowTokens(
        split=split,
        row=number,
        left_out=left_out,
        findings=[note for action, note in notes if action not in STOPS],
        target=None if row is None else seen.target(row),
        sequences=sequences,
    )


class _Seen:
    """How a task and a tokenizer encode rows."""

    def __init__(self, task: Task, tokenizer: Any, limit: int) -> None:
        self._task: Any = task
        self._tokenizer, self._limit = tokenizer, limit
        self._vocabulary = Vocabulary(tokenizer)
        self._learns_tokens = task.writes_text or task.points_into_text
        """Whether what is learned stands at tokens; else of a whole text one thing is learned."""

    def target(self, row: Row) -> str | None:
        """What is learned of the whole row: the value of the column that is learned."""
        column = [*self._task.columns.values()][-1]
        return None if self._learns_tokens else readable(row[column])

    def sequences(self, row: Row) -> Iterator[TokenSequence]:
        """The texts that the model reads for `row`, with what is cut of them."""
        length = max(*self._task.token_counts([row], self._tokenizer), self._limit)
        [kept] = self._task.encode([row], self._tokenizer, self._limit)
        [whole] = (
            self._task.encode([row], self._tokenizer, length) if length > self._limit else [kept]
        )
        pairs = list(zip(_texts(kept), _texts(whole), strict=True))
        for number, (seen, full) in enumerate(pairs, 1):
            name = full.name if len(pairs) == 1 or full.name != "text" else f"answer {number}"
            yield TokenSequence(name=name, tokens=self._tokens(seen, full))

    def _tokens(self, seen: _Text, full: _Text) -> list[TokenState]:
        remains = _remaining(seen.ids, full.ids)
        found = []
        for place, token in enumerate(full.ids):
            label = full.labels[place] if self._learns_tokens else None
            is_cut = place not in remains
            is_learned = label not in (None, IGNORED) and not is_cut
            found.append(
                TokenState(
                    id=token,
                    text=self._vocabulary.text(token),
                    kind=self._vocabulary.kind(token),
                    is_learned=is_learned,
                    is_cut=is_cut,
                    tag=str(self._task.labels[label]) if is_learned and full.is_tagged else None,
                )
            )
        return found


class _Text:
    """The token ids of one text, and what is learned at each of them."""

    def __init__(self, name: str, example: Mapping[str, Any], ids: str, labels: str) -> None:
        self.name = name
        self.ids: list[int] = list(example[ids])
        self.labels: Any = example.get(labels)
        self.is_tagged = "words" in example


def _texts(example: Example) -> list[_Text]:
    """The texts of an example, those of its earlier answers first."""
    if "rejected_ids" in example:
        return [
            _Text("chosen", example, "input_ids", "labels"),
            _Text("rejected", example, "rejected_ids", "rejected_labels"),
        ]
    every = [*example.get("earlier", ()), example]
    return [_Text("text", each, "input_ids", "labels") for each in every]


def _remaining(seen: Sequence[int], full: Sequence[int]) -> frozenset[int]:
    """The places of `full` that are left in `seen`, which is made of parts of it."""
    begin = next((n for n, (a, b) in enumerate(zip(seen, full, strict=False)) if a != b), len(seen))
    end = len(seen) - begin
    if list(seen[begin:]) == list(full[len(full) - end :]):
        return frozenset([*range(begin), *range(len(full) - end, len(full))])
    matches = SequenceMatcher(None, full, seen, autojunk=False).get_matching_blocks()
    return frozenset(place for a, _, size in matches for place in range(a, a + size))
