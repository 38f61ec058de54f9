"""Odd values anywhere in rows of any layout: no traceback, and no row or column lost in silence.

Each row is left for learning, or among the findings; each column is used, or named as not used; or
the data are refused in words.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.data.layouts.laid import task

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import examine
from tunesmith.data.layouts import LAYOUTS
from tunesmith.data.sources import read_data
from tunesmith.errors import UserError

Row = dict[str, Any]


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


ODD: tuple[Any, ...] = (
    None, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**63, 2**64, 10**30, True, "", " ", "\0",
    "\ud800", "\u200b", "�", "a\nb", "[", "{'a': 1}", "[1, 2", "['\\ud800']", [], {}, [None],
    [[]], [[], {}], {"a": 1}, {"": None}, [1, "a", None, {}], deep(60), "x" * 3000, "NaN",
    [{"role": 1}], {"role": ["user"], "content": None}, '[{"role": "user", "content": "x"}]',
    [[0, 3]], ["a", "b", "c"], {"choices": 5}, {"text": 5}, [{"result": [5]}],
    [{"result": [{"value": {"labels": ["a"]}}]}], [0, 3, "PER"], [{"start": "x", "end": []}],
)  # fmt: skip


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def said(text: str) -> Row:
    return {"role": "assistant", "content": text}


WORDS = ["Ada", "said", "hi"]
MARKED = {"start": 0, "end": 3, "labels": ["PER"], "text": "Ada"}
BASES: dict[str, tuple[Row, ...]] = {
    "text-classification": (
        {"text": "a film", "label": "good"},
        {"data": {"text": "a b"}, "annotations": [{"result": [{"value": {"choices": ["x"]}}]}]},
        {"text": "a", "answer": "accept", "accept": ["x"]},
        {"id": 1, "annotator": 1, "annotation_id": 2, "text": "a b", "sentiment": "good"},
    ),
    "regression": ({"text": "a film", "label": 0.5},),
    "token-classification": (
        {"tokens": WORDS, "ner_tags": ["B-PER", "O", "O"]},
        {"tokenized_text": WORDS, "ner": [[0, 0, "PER"]]},
        {"text": "Ada said hi", "entities": [[0, 3, "PER"]]},
        {"data": {"text": "Ada said"}, "annotations": [{"result": [{"value": MARKED}]}]},
        {"id": 1, "annotator": 1, "annotation_id": 2, "text": "Ada said", "label": [MARKED]},
        {"text": "Ada", "answer": "accept", "spans": [{"start": 0, "end": 3, "label": "PER"}]},
        {"paragraphs": [{"raw": "Ada", "sentences": [{"tokens": [{"orth": "Ada", "ner": "O"}]}]}]},
    ),
    "sft": (
        {"instruction": "p", "input": "i", "output": "o", "system": "s", "history": [["a", "b"]]},
        {"messages": [user("p"), said("c")]},
        {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "c"}]},
        {"text": "### Human: p?### Assistant: c"},
        {"prompt": "\n\nHuman: p\n\nAssistant:", "completion": " c"},
        {"prompt": "p", "completion": "c", "label": True},
    ),
    "dpo": (
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"chosen": [user("p"), said("a")], "rejected": [user("p"), said("b")]},
        {"input": {"messages": [user("p")], "tools": []}, "preferred_output": [said("a")],
         "non_preferred_output": [said("b")]},
        {"prompt": "p", "generations": ["a", "b"], "ratings": [1, 2]},
        {"instruction": "p", "completions": [{"response": "a", "overall_score": 1.0}]},
        {"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 0},
        {"prompt": "p", "completion": "a", "label": True},
    ),
}  # fmt: skip


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (*before, key)
        yield from places(value[key], (*before, key))


def changed(rng: random.Random, row: Row, odd: Any) -> Row:
    """`row` with an odd value somewhere in it, also in a column of its own, or with less in it."""
    copy: Row = json.loads(json.dumps(row))
    if rng.random() < 0.1:
        return {**copy, rng.choice(["extra", "label", "tools", "system", "weight"]): odd}
    *before, last = rng.choice(list(places(copy)))
    inner: Any = copy
    for key in before:
        inner = inner[key]
    if rng.random() < 0.15:
        del inner[last]
    else:
        inner[last] = odd
    return copy


def outcome(path: Path, learned: str, layout: str | None) -> None:
    try:
        request = DataConfig(dataset_name=str(path), layout=layout)
        source = read_data(request)
        found = examine(request, task(learned), source, compare=False)
        report = found.checked.report
        assert report.summary()
    except UserError:
        return  # in words
    table = source.tables["train"]
    dropped = {row["row"] for row in report.table.to_dicts() if row["action"] == "drop"}
    kept = {*found.checked.tables["train"].column("_row").to_pylist()}
    if layout != "kto-pairs" and report.usage.layout != "kto-pairs":  # rows of it go together
        assert {*table.column("_row").to_pylist()} <= kept | dropped
    named = {each.name for each in report.usage.unused} | report.usage.uses.keys()
    assert {*table.column_names} - {"_row"} <= named


@pytest.mark.parametrize("learned", BASES)
def test_odd_values_cost_their_rows_and_nothing_is_lost_in_silence(
    tmp_path: Path, learned: str
) -> None:
    rng = random.Random(learned)
    layouts = [name for name, kind in LAYOUTS.items() if learned in kind.tasks]
    for base in BASES[learned]:
        for odd in rng.sample(ODD, 7):
            rows = [base] * rng.choice((1, 4, 11))
            every = rng.random() < 0.3
            rows = [changed(rng, row, odd) if every or not n else row for n, row in enumerate(rows)]
            path = tmp_path / rng.choice(["rows.jsonl", "rows.json"])
            lines = "\n".join(map(json.dumps, rows))
            path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows))
            outcome(path, learned, rng.choice([None, None, None, *layouts]))
