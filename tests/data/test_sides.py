"""Which split judges: one without labels is left out and named; the trained one is held out of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import Dataset, load_dataset
from tunesmith.errors import ConfigError, DataError
from tunesmith.tasks import TASKS

Rows = Sequence[Mapping[str, Any]]


def rows(count: int, of: str = "train", **more: Any) -> list[dict[str, Any]]:
    """Rows with a text of their own, a label and a group."""
    return [
        {"text": f"{of} lamp number {n} flickers", "label": ("up", "down")[n % 2], "by": f"{n % 5}"}
        | more
        for n in range(count)
    ]


def without(found: Rows, name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in found]


def load(folder: Path, task: str = "text-classification", /, **asked: Any) -> Dataset:
    splits = {name: asked.pop(name) for name in ("train", "validation", "test") if name in asked}
    for name, own in splits.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in own), encoding="utf-8")
    kind = TASKS[task]
    request = DataConfig(dataset_name=str(folder), **asked)
    return load_dataset(request, kind(kind.Options()))


def said(dataset: Dataset) -> list[str]:
    return [*map(str, dataset.report.usage.notes), *map(str, dataset.notes)]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (without(rows(6, "test"), "label"), "it has no column 'label'; it has: text, by"),
        (rows(6, "test", label=None), "column 'label' holds nothing there"),
        (rows(6, "test", label="nan"), "column 'label' holds nothing there"),
        (rows(6, "test", label=-1), "column 'label' holds -1 alone there"),
        (rows(6, "test", label="-100"), "column 'label' holds -100 alone there"),
    ],
)
def test_a_test_split_without_labels_is_left_out_and_named(
    tmp_path: Path, test: Rows, reason: str
) -> None:
    found = load(tmp_path, train=rows(20), test=test)
    assert {row["text"].split()[0] for row in found.evaluation} == {"train"}
    assert len(found.train) + len(found.evaluation) == 20
    first, second = said(found)
    assert first.startswith(f"test (test.jsonl) is left out: {reason}")
    assert second == "rows are held out of train instead"


def test_the_next_split_with_labels_judges(tmp_path: Path) -> None:
    found = load(
        tmp_path, train=rows(20), validation=rows(4, "validation", label=None), test=rows(6, "test")
    )
    assert {row["text"].split()[0] for row in found.evaluation} == {"test"}
    assert said(found)[0].startswith("validation (validation.jsonl) is left out")


def test_a_split_without_labels_that_is_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names test \(test\.jsonl\), which can judge nothing"):
        load(tmp_path, train=rows(20), test=rows(6, label=-1), eval_split="test")


def test_a_split_with_other_columns_is_named_with_its_file(tmp_path: Path) -> None:
    test = [{"review": row["text"], "label": row["label"]} for row in rows(6, "test")]
    with pytest.raises(DataError, match=r"test \(test\.jsonl\) has no column 'text'"):
        load(tmp_path, train=rows(20), test=test)
    found = load(tmp_path, train=rows(20), test=test, eval_split="train")
    assert len(found.train) + len(found.evaluation) == 20


def test_the_split_that_is_trained_on_judges_by_rows_held_out_of_it(tmp_path: Path) -> None:
    found = load(tmp_path, train=rows(20), test=rows(6, "test"), eval_split="train")
    train, judging = ({row["text"] for row in side} for side in (found.train, found.evaluation))
    assert judging
    assert not train & judging
    assert said(found) == [
        "data.eval_split names the split that is trained on: rows are held out of it"
    ]


def test_answers_that_are_all_the_same_are_said(tmp_path: Path) -> None:
    scored = [{"text": row["text"], "score": n / 10} for n, row in enumerate(rows(20))]
    test = [{"text": row["text"], "score": 3} for row in rows(6, "test")]
    found = load(tmp_path, "regression", train=scored, test=test)
    assert said(found) == [
        "all 6 rows that judge have '3' in column score: they can't tell a good model from a "
        "bad one"
    ]
    hidden = [{**row, "score": -1} for row in test]
    left_out = load(tmp_path, "regression", train=scored, test=hidden)
    assert "test (test.jsonl) is left out: column 'score' holds -1 alone" in said(left_out)[0]


def test_rows_of_a_group_stay_together_in_one_split_and_over_two(tmp_path: Path) -> None:
    found = load(tmp_path, train=rows(40), group_column="by")
    assert not {row["by"] for row in found.train} & {row["by"] for row in found.evaluation}
    assert found.groups == [row["by"] for row in found.evaluation]
    test = rows(6, "test", by="3")
    found = load(tmp_path, train=rows(40), test=test, group_column="by")
    assert {row["by"] for row in found.train} == {"0", "1", "2", "4"}
    assert found.groups == ["3"] * 6
    assert "8 rows are not trained on" in said(found)[0]
    with pytest.raises(ConfigError, match=r"data\.group_column: no such column.*did you mean by"):
        load(tmp_path, train=rows(40), group_column="byy")
