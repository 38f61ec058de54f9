"""Rows as the model sees them are what training encodes, for every task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.samples import Sample, samples_of

from tunesmith.errors import ConfigError, DataError
from tunesmith.experiments.datasets.importing import Inquiry, inquire
from tunesmith.experiments.datasets.tokens import rows_as_tokens, usual_model
from tunesmith.models.load import load_tokenizer
from tunesmith.schemas.row_tokens import RowTokens
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.columns import IGNORED

OURS = ("text-classification", "regression", "token-classification", "sft", "dpo")


@pytest.fixture
def asked(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> tuple[Inquiry, Sample]:
    """The first sample of a task as a question about a file, for a tiny model."""
    name = request.param
    sample = samples_of(name)[0]
    lines = [{key: row[key] for key in sample.columns} for row in sample.rows]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    options = [f"task.{key}={json.dumps(value)}" for key, value in sample.options.items()]
    model = request.getfixturevalue(sample.model)
    assignments = [f"task.name={name}", f"model.name={model}", *options]
    return inquire(str(path), None, assignments, settings), sample


def limited(inquiry: Inquiry, length: int) -> Inquiry:
    request = inquiry.request.model_copy(update={"max_length": length})
    return Inquiry(request, inquiry.task, inquiry.source, inquiry.model)


def encoded(inquiry: Inquiry, number: int) -> dict[str, Any]:
    """The row as training encodes it."""
    task: Task = inquiry.task
    assert inquiry.model is not None
    tokenizer = load_tokenizer(inquiry.model)
    task.prepare_tokenizer(tokenizer)
    row = next(iter(inquiry.source.tables.values())).to_pylist()[number - 1]
    [example] = task.encode([row], tokenizer, inquiry.request.max_length)
    return example


def seen(row: RowTokens, place: int = -1) -> list[int]:
    return [token.id for token in row.sequences[place].tokens if not token.is_cut]


@pytest.mark.parametrize("length", [512, 6])
@pytest.mark.parametrize("asked", OURS, indirect=True)
def test_the_tokens_that_are_shown_are_those_of_training(
    asked: tuple[Inquiry, Sample], length: int
) -> None:
    inquiry = limited(asked[0], length)
    found = rows_as_tokens(inquiry, [2, 1])
    assert (found.task, found.max_length) == (inquiry.task.name, length)
    assert [(row.row, row.split) for row in found.rows] == [(2, "train"), (1, "train")]
    for row in found.rows:
        example = encoded(inquiry, row.row)
        assert seen(row, 0 if "rejected_ids" in example else -1) == list(example["input_ids"])
        if "rejected_ids" in example:
            assert [sequence.name for sequence in row.sequences] == ["chosen", "rejected"]
            assert seen(row) == list(example["rejected_ids"])
        learned = [
            token.is_learned
            for sequence in row.sequences
            for token in sequence.tokens
            if not token.is_cut
        ]
        if row.target is None:
            labels = [*example["labels"], *example.get("rejected_labels", [])]
            assert learned == [label != IGNORED for label in labels][: len(learned)]
        else:
            assert not any(learned)
        cut = any(token.is_cut for sequence in row.sequences for token in sequence.tokens)
        assert cut == (length == 6) or len(example["input_ids"]) < 6


@pytest.mark.parametrize("asked", ["token-classification"], indirect=True)
def test_of_entities_each_words_label_is_shown(asked: tuple[Inquiry, Sample]) -> None:
    [row] = rows_as_tokens(asked[0], [1]).rows
    tags = [token.tag for token in row.sequences[0].tokens if token.is_learned]
    assert tags
    task: Any = asked[0].task
    assert set(tags) <= set(task.labels)


@pytest.mark.parametrize("asked", ["text-classification"], indirect=True)
def test_of_a_whole_text_its_label_is_shown(asked: tuple[Inquiry, Sample]) -> None:
    inquiry, sample = asked
    [row] = rows_as_tokens(inquiry, [2]).rows
    column = inquiry.task.columns["label"]
    assert row.target == sample.columns[column][1]


def reviews(path: Path, *texts: str) -> Path:
    lines = [{"text": text, "label": "good"} for text in texts]
    lines += [{"text": f"a {word} film", "label": "bad"} for word in ("dull", "poor")]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def shown(path: Path, model: Path, settings: Settings, *numbers: int, **rules: str) -> Any:
    given = [f"data.validation_rules.{name}={value}" for name, value in rules.items()]
    return rows_as_tokens(
        inquire(str(path), None, [f"model.name={model}", *given], settings), numbers
    )


def test_a_row_that_a_rule_leaves_out_says_why(
    tmp_path: Path, settings: Settings, tiny_distilbert: Path
) -> None:
    path = reviews(tmp_path / "a.jsonl", "", "good film", "good film")
    found = shown(path, tiny_distilbert, settings, 1, 3, duplicates="drop").rows
    assert [row.sequences for row in found] == [[], []]
    assert "empty_texts" in found[0].left_out[0]
    assert "duplicates" in found[1].left_out[0]


def test_tokens_are_those_of_the_text_as_the_rules_mended_it(
    tmp_path: Path, settings: Settings, tiny_distilbert: Path
) -> None:
    path = reviews(tmp_path / "a.jsonl", "good <b>film</b>", "good film")
    first, second = shown(path, tiny_distilbert, settings, 1, 2, html="fix").rows
    assert seen(first) == seen(second)
    assert "html" in first.findings[0]


def test_a_script_that_the_model_does_not_know_is_said(
    tmp_path: Path, settings: Settings, tiny_distilbert: Path
) -> None:
    texts = ["這間餐廳的服務態度非常好", "手機收到的時候螢幕就有刮痕"]
    found = shown(reviews(tmp_path / "zh.jsonl", *texts), tiny_distilbert, settings, 1)
    assert "of the tokens are unknown to the model" in found.notes[0]
    assert "multilingual" in found.notes[0]
    kinds = [token.kind for token in found.rows[0].sequences[0].tokens]
    assert "unknown" in kinds
    english = reviews(tmp_path / "en.jsonl", "a good film", "the plot was fine")
    assert shown(english, tiny_distilbert, settings, 1).notes == []


def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, settings: Settings, tiny_distilbert: Path
) -> None:
    path = reviews(tmp_path / "a.jsonl", "good film")
    with pytest.raises(DataError, match=r"there is no row 9 in .*; there is train 1-3"):
        shown(path, tiny_distilbert, settings, 9)
    with pytest.raises(DataError, match="at most 20 rows"):
        shown(path, tiny_distilbert, settings, *range(1, 22))
    with pytest.raises(ConfigError, match=r"model\.name"):
        rows_as_tokens(inquire(str(path), None, [], settings), [1])


@pytest.mark.parametrize("task", OURS)
def test_each_task_has_a_usual_model(task: str) -> None:
    assert usual_model(task) is not None
    assert task in TASKS
