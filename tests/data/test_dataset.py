"""Of far more rows than a training asks for, only those that it can draw are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.config.schema import DataConfig
from tunesmith.data import dataset
from tunesmith.data.checking.tokens import ByTokenizer
from tunesmith.data.dataset import Dataset, Examination, examine, load_dataset
from tunesmith.data.sources import read_data
from tunesmith.experiments.datasets.importing import token_counter
from tunesmith.models.locate import locate_model
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Row

ROWS = 2_000


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    texts = [f"review number {number} says what it says" for number in range(ROWS)]
    labels = ["bad" if number % 4 else "good" for number in range(ROWS)]
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


class Load:
    """Loads the rows of a file, and counts those that are tokenized."""

    def __init__(self, path: Path, model: Path) -> None:
        self.path, self.model, self.tokenized = path, locate_model(str(model), cache=path.parent), 0

    def __call__(self, **asked: Any) -> Dataset:
        request, task, tokens = self._asked(**asked)
        return load_dataset(request, task, tokens=tokens)

    def check(self, **asked: Any) -> Examination:
        request, task, tokens = self._asked(**asked)
        return examine(request, task, read_data(request), tokens=tokens, tokenize_all=False)

    def _asked(self, **asked: Any) -> tuple[DataConfig, Any, ByTokenizer]:
        kind = TASKS["text-classification"]
        task = kind(kind.Options())
        counter = token_counter(task, self.model)
        assert counter is not None
        request = DataConfig(dataset_name=str(self.path), **asked)
        return request, task, replace(counter, count=self._count)

    def _count(self, rows: Sequence[Row]) -> list[int]:
        self.tokenized += len(rows)
        return [len(str(row["text"])) for row in rows]


def numbers(rows: Sequence[Row]) -> list[int]:
    return [int(row["_row"]) for row in rows]


@pytest.mark.parametrize("asked", [{"eval_samples": 60}, {"eval_fraction": 0.05}])
def test_the_rows_are_those_that_would_be_drawn_from_all(
    reviews: Path, tiny_distilbert: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    load = Load(reviews, tiny_distilbert)
    whole = load(train_samples=100, **asked)
    assert load.tokenized == ROWS
    monkeypatch.setattr(dataset, "LARGE", 500)
    load.tokenized = 0
    drawn = load(train_samples=100, **asked)
    assert load.tokenized < ROWS / 6
    assert numbers(drawn.train) == numbers(whole.train)
    assert numbers(drawn.evaluation) == numbers(whole.evaluation)
    assert drawn.identity["splits"] == whole.identity["splits"]
    assert drawn.hash == whole.hash
    assert "of 2,000 rows, which data.train_samples leaves out" in " ".join(drawn.report.notes)


def test_where_too_few_of_them_pass_the_rules_all_rows_are_looked_at(
    reviews: Path, tiny_distilbert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(reviews, tiny_distilbert)
    strict = {"max_length": 34, "validation_rules": {"cut_texts": "drop"}}
    whole = load(train_samples=80, eval_samples=10, **strict)
    monkeypatch.setattr(dataset, "LARGE", 500)
    drawn = load(train_samples=80, eval_samples=10, **strict)
    assert numbers(drawn.train) == numbers(whole.train)
    assert numbers(drawn.evaluation) == numbers(whole.evaluation)
    assert len(drawn.train) == 80
    assert not any("leaves out" in note for note in drawn.report.notes)


def test_a_check_tokenizes_those_rows_alone_that_can_be_drawn_and_says_so(
    reviews: Path, tiny_distilbert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(reviews, tiny_distilbert)
    asked: dict[str, Any] = {"train_samples": 100, "eval_samples": 60, "max_length": 30}
    whole = load.check(**asked)
    assert load.tokenized == ROWS
    monkeypatch.setattr(dataset, "LARGE", 500)
    load.tokenized = 0
    found = load.check(**asked)
    assert load.tokenized == 237  # 1.25 times 100, 60, and 30 to validate
    assert found.checked.report.rows_in == found.checked.report.rows_out == ROWS
    assert "in all rows but 237 of 2,000, those that data.train_samples can draw" in " ".join(
        found.checked.report.notes
    )
    long = [find for find in found.checked.report.findings if find.rule == "cut_texts"]
    assert len(long) == 237
    assert {find.row for find in long} < {find.row for find in whole.checked.report.findings}
    trained = load(**asked)
    assert {*numbers(trained.train), *numbers(trained.evaluation)} <= {find.row for find in long}


def test_what_the_tokenizer_drops_of_a_part_of_the_rows_is_gone(
    reviews: Path, tiny_distilbert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "LARGE", 500)
    strict = {"max_length": 30, "validation_rules": {"cut_texts": "drop"}}
    found = Load(reviews, tiny_distilbert).check(train_samples=100, eval_samples=60, **strict)
    assert found.checked.report.rows_out == ROWS - 237
    assert found.checked.tables["train"].num_rows == ROWS - 237
