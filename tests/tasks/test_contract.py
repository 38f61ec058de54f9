"""What every task promises: one suite for all of them, also for those that come later.

A new task needs an entry in `EXAMPLES`, nothing else.
"""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import peft
import pytest
import torch
import transformers

from tunesmith.errors import ConfigError
from tunesmith.tasks import TASKS, default_task
from tunesmith.tasks.base import Batch, Columns, Prediction, Row, Task


@dataclass(frozen=True)
class Example:
    """Options and rows that a task can learn from, and a model that it can teach."""

    model: str
    """Fixture of `tests/conftest.py`: the folder of a tiny model."""
    columns: dict[str, list[Any]]
    """Column name → its values; their words are those of the tiny models."""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        count = len(next(iter(self.columns.values())))
        return [
            {"_row": n + 1, **{name: values[n] for name, values in self.columns.items()}}
            for n in range(count)
        ]


TEXTS = [
    "a good film", "the plot was very dull", "great", "not a bad story but rather poor in it",
    "superb scene ?", "awful .", "fine movie", "dreadful actor",
]  # fmt: skip
VERDICTS = ["good", "bad", "good", "bad", "good", "bad", "good", "bad"]

EXAMPLES: dict[str, list[Example]] = {
    "text-classification": [
        Example("tiny_distilbert", {"text": TEXTS, "label": VERDICTS}),
        Example(
            "tiny_distilbert",
            {"text": TEXTS, "label": [1, 2, 3, 1, 2, 3, 1, 1]},
            {"class_weights": "balanced"},
        ),
        Example(
            "tiny_distilbert",
            {"text": TEXTS, "label": ["a,b", "", "a", "b", "b", "a", "a", "b,a"]},
            {"multi_label": True},
        ),
        Example(
            "tiny_distilbert",
            {"one": TEXTS, "two": TEXTS[::-1], "label": VERDICTS},
            {"text_column": "one", "text_pair_column": "two"},
        ),
        Example("tiny_chat", {"text": TEXTS, "label": VERDICTS}),
    ],
    "sft": [
        Example("tiny_chat", {"prompt": TEXTS, "completion": VERDICTS}),
        Example(
            "tiny_chat",
            {"review": TEXTS, "verdict": VERDICTS},
            {
                "prompt_template": "{review} fresh or rotten ?",
                "completion_column": "verdict",
                "system_prompt": "answer in one word",
                "max_new_tokens": 3,
            },
        ),
        Example(
            "tiny_chat",
            {
                "messages": [
                    [{"role": "user", "content": t}, {"role": "assistant", "content": v}]
                    for t, v in zip(TEXTS, VERDICTS, strict=True)
                ]
            },
        ),
    ],
}
"""Task name → what it is tried with."""


@dataclass(frozen=True)
class Bound:
    """A task that has seen its rows, with a model and a tokenizer."""

    example: Example
    task: Task
    columns: Columns
    model: Any
    tokenizer: Any

    @property
    def rows(self) -> list[Row]:
        return self.example.rows

    def encode(self, rows: Sequence[Row] | None = None, limit: int = 64) -> list[dict[str, Any]]:
        return self.task.encode(rows or self.rows, self.columns, self.tokenizer, limit)

    def batch(self, start: int = 0, end: int | None = None) -> Batch:
        """Rows `start` to `end` as tensors."""
        examples = self.encode(self.rows[start:end])
        return self.task.collate(examples, self.tokenizer.pad_token_id)

    def predictions(self, **options: Any) -> list[Prediction]:
        with torch.inference_mode():
            return list(
                self.task.predict(
                    self.model, [(self.rows, self.batch())], self.columns, self.tokenizer, **options
                )
            )


def examples_of(name: str) -> list[Example]:
    if name not in EXAMPLES:
        pytest.fail(
            f"task {name!r} has no entry in EXAMPLES of tests/tasks/test_contract.py: give options "
            "and rows that it can learn from, so that it is held to what every task promises"
        )
    return EXAMPLES[name]


CASES = [
    pytest.param((name, number), id=f"{name}-{number}")
    for name in TASKS
    for number in range(max(len(EXAMPLES.get(name, [])), 1))
]


@pytest.fixture(scope="module", params=CASES)
def bound(request: pytest.FixtureRequest) -> Bound:
    """Each task with each of its examples."""
    name, number = request.param
    example = examples_of(name)[number]
    folder = request.getfixturevalue(example.model)
    task = TASKS[name](TASKS[name].Options(**example.options))
    columns = task.columns(list(example.rows[0]), example.rows)
    task.fit(example.rows, example.rows[:2], columns)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    task.prepare_tokenizer(tokenizer)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = getattr(transformers, task.auto_class).from_pretrained(
        folder, attn_implementation="eager", **task.model_arguments()
    )
    return Bound(example, task, columns, model.eval(), tokenizer)


# -- what a task is -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_an_example(name: str) -> None:
    assert examples_of(name)


def test_no_example_is_left_over_from_a_task_that_is_gone() -> None:
    assert set(EXAMPLES) <= set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_describes_itself(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert task.summary
    assert "\n" not in task.summary
    assert task.Options.model_fields["name"].default == name
    assert task.peft_task_type in {kind.value for kind in peft.TaskType}
    assert hasattr(transformers, task.auto_class)
    assert task.eval_batch_scale >= 1


@pytest.mark.parametrize("name", TASKS)
def test_every_option_but_the_name_may_be_left_out(name: str) -> None:
    assert TASKS[name].Options().model_dump()["name"] == name


def test_each_task_type_of_peft_has_one_default_task() -> None:
    for kind in {task.peft_task_type for task in TASKS.values()}:
        defaults = [t.name for t in TASKS.values() if t.peft_task_type == kind and t.is_default]
        assert len(defaults) <= 1
        assert default_task(kind) in (defaults or TASKS)


def test_tasks_are_known_without_torch() -> None:
    code = "import sys, tunesmith.tasks; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- the data -----------------------------------------------------------------------------------


def test_columns_are_among_those_of_the_rows(bound: Bound) -> None:
    assert set(bound.columns.values()) <= set(bound.example.columns)
    assert set(bound.task.text_columns(bound.columns)) <= set(bound.example.columns)
    label = bound.task.label_column(bound.columns)
    assert label is None or label in bound.example.columns


def test_an_option_that_names_no_column_is_a_located_problem(bound: Bound) -> None:
    kind = type(bound.task)
    names = [name for name in kind.Options.model_fields if name.endswith("_column")]
    assert names
    available = list(bound.rows[0])
    for name in names:
        task = kind(kind.Options(**{**bound.example.options, name: "nowhere"}))
        if not set(bound.columns) & {name.removesuffix("_column")}:
            continue  # a role that this example does not play
        with pytest.raises(ConfigError) as caught:
            task.columns(available, bound.rows)
        told = [problem for problem in caught.value.problems if problem.field == f"task.{name}"]
        assert len(told) == 1
        assert all(column in str(told[0].accepted) for column in bound.example.columns)


def test_the_key_of_a_row_is_its_text(bound: Bound) -> None:
    keys = [bound.task.key(row, bound.columns) for row in bound.rows]
    assert len(set(keys)) == len(keys)
    moved = {**bound.rows[0], "_row": 99}
    assert bound.task.key(moved, bound.columns) == keys[0]
    assert all(isinstance(bound.task.stratum(row, bound.columns), str) for row in bound.rows)


def test_facts_are_json_and_make_the_task_again(bound: Bound) -> None:
    examples = bound.encode()
    facts = json.loads(json.dumps(bound.task.facts()))
    again = type(bound.task)(bound.task.options)
    again.restore(facts)
    assert again.facts() == bound.task.facts()
    assert again.encode(bound.rows, bound.columns, bound.tokenizer, 64) == examples


def test_what_was_found_are_options_that_find_it_again(bound: Bound) -> None:
    found = bound.task.resolved(bound.columns)
    options = type(bound.task).Options(**{**bound.task.options.model_dump(), **found})
    task = type(bound.task)(options)
    assert task.columns(list(bound.rows[0]), bound.rows) == bound.columns
    task.fit(bound.rows, [], bound.columns)
    assert task.model_arguments().keys() <= bound.task.model_arguments().keys()
    assert task.encode(bound.rows, bound.columns, bound.tokenizer, 64) == bound.encode()


# -- tensors ------------------------------------------------------------------------------------


def test_rows_are_encoded_in_order_and_always_the_same(bound: Bound) -> None:
    examples = bound.encode()
    assert len(examples) == len(bound.rows)
    assert bound.encode() == examples
    for row, example in zip(bound.rows, examples, strict=True):
        assert bound.encode([row]) == [example]
        assert isinstance(example["input_ids"], list)
        assert example["targets"] > 0


def test_no_rows_are_no_examples(bound: Bound) -> None:
    assert bound.task.encode([], bound.columns, bound.tokenizer, 64) == []


def test_no_example_is_longer_than_the_limit(bound: Bound) -> None:
    assert max(len(example["input_ids"]) for example in bound.encode()) > 7
    for example in bound.encode(limit=7):
        assert len(example["input_ids"]) <= 7


def test_a_batch_is_tensors_padded_to_its_longest_row(bound: Bound) -> None:
    examples, batch = bound.encode(), bound.batch()
    longest = max(len(example["input_ids"]) for example in examples)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (len(examples), longest)
    for name, tensor in batch.items():
        assert isinstance(tensor, torch.Tensor), name
        assert len(tensor) == len(examples), name
    for number, example in enumerate(examples):
        there = batch["attention_mask"][number].bool()
        assert batch["input_ids"][number][there].tolist() == example["input_ids"]
        assert set(batch["input_ids"][number][~there].tolist()) <= {bound.tokenizer.pad_token_id}


# -- the loss -----------------------------------------------------------------------------------


def test_the_loss_is_one_number_that_can_be_lowered(bound: Bound) -> None:
    bound.model.zero_grad()
    loss = bound.task.loss(bound.model, bound.batch())
    assert loss.shape == ()
    assert math.isfinite(loss.item())
    loss.backward()
    gradients = [p.grad for p in bound.model.parameters() if p.grad is not None]
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients)
    bound.model.zero_grad()


def test_accumulation_over_batches_changes_nothing(bound: Bound) -> None:
    with torch.no_grad():
        whole = bound.task.loss(bound.model, bound.batch())
        parts = [bound.batch(*ends) for ends in ((0, 1), (1, 4), (4, None))]
        items = sum(bound.task.count_items(part) for part in parts)
        summed = sum(bound.task.loss(bound.model, part, items) for part in parts)
        counted = bound.task.loss(bound.model, bound.batch(), items)
    torch.testing.assert_close(summed, whole, rtol=1e-5, atol=0)
    torch.testing.assert_close(counted, whole, rtol=1e-5, atol=0)


# -- the score ----------------------------------------------------------------------------------


def test_each_row_is_predicted_in_its_place(bound: Bound) -> None:
    predictions = bound.predictions()
    assert [p.row for p in predictions] == [row["_row"] for row in bound.rows]
    for row, prediction in zip(bound.rows, predictions, strict=True):
        key = bound.task.key(row, bound.columns)
        assert prediction.text
        assert all(line in key for line in prediction.text.split("\n"))
        assert prediction.loss is not None
        assert math.isfinite(prediction.loss)
        assert prediction.confidence is None or 0 <= prediction.confidence <= 1
        assert 0 <= prediction.tokens_correct <= prediction.tokens
        assert prediction.scores
        assert json.dumps([prediction.expected, prediction.predicted, prediction.scores])


def test_a_prediction_does_not_depend_on_its_neighbours(bound: Bound) -> None:
    together = bound.predictions()
    for number, row in enumerate(bound.rows):
        with torch.inference_mode():
            batches = [([row], bound.batch(number, number + 1))]
            (alone,) = bound.task.predict(bound.model, batches, bound.columns, bound.tokenizer)
        assert alone.predicted == together[number].predicted
        assert alone.scores == pytest.approx(together[number].scores, rel=1e-3, abs=1e-5)


def test_a_quick_look_has_the_same_losses(bound: Bound) -> None:
    quick = bound.predictions(generate=False)
    assert [p.loss for p in quick] == [p.loss for p in bound.predictions()]


def test_the_score_is_finite_numbers_with_the_main_one_among_them(bound: Bound) -> None:
    score = bound.task.score(bound.predictions())
    assert score.main == bound.task.main_metric
    assert {score.main, bound.task.best_metric, "loss"} <= set(score.metrics)
    assert all(math.isfinite(value) for value in score.metrics.values())
    assert not any(name.startswith("eval_") for name in score.metrics)
    assert json.loads(json.dumps(dict(score.details))) == dict(score.details)


def test_the_main_metric_is_the_share_of_correct_predictions(bound: Bound) -> None:
    predictions = bound.predictions()
    score = bound.task.score(predictions)
    share = sum(p.correct for p in predictions) / len(predictions)
    assert score.metrics[score.main] == pytest.approx(share)


def test_the_baseline_is_a_score_that_can_be_compared(bound: Bound) -> None:
    baseline = bound.task.baseline(bound.rows, bound.rows, bound.columns)
    assert set(baseline) == {"name", "metric", "value"}
    assert baseline["metric"] == bound.task.main_metric
    assert 0 < baseline["value"] <= 1


def test_the_usage_is_python_that_names_the_base_model(bound: Bound) -> None:
    code = bound.task.usage("'owner/a-base-model'")
    ast.parse(code)
    assert "'owner/a-base-model'" in code
    assert "final_model" in code
