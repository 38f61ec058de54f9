"""What every task promises: one suite for all of them, also for those that come later.

A new task needs a function in `samples.py`, nothing else.
"""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peft
import pytest
import torch
import transformers
from tests.tasks.samples import Sample, samples_of

from tunesmith.errors import ConfigError
from tunesmith.tasks import TASKS, default_task
from tunesmith.tasks.base import Batch, Row, Task
from tunesmith.tasks.results import Prediction, same_answer
from tunesmith.tasks.tokens.places import ModelPlace

WITHOUT_SAMPLES = (
    "task {name!r} has no samples: give options and rows that it can learn from in a function "
    "{function}() of tests/tasks/samples.py, so that it is held to what every task promises"
)


@dataclass(frozen=True)
class Bound:
    """A task that has seen its rows, with a model and a tokenizer."""

    example: Sample
    task: Task
    model: Any
    tokenizer: Any

    @property
    def rows(self) -> list[Row]:
        return self.example.rows

    def encode(self, rows: Sequence[Row] | None = None, limit: int = 64) -> list[dict[str, Any]]:
        return self.task.encode(rows or self.rows, self.tokenizer, limit)

    def batch(self, start: int = 0, end: int | None = None) -> Batch:
        """Rows `start` to `end` as tensors."""
        examples = self.encode(self.rows[start:end])
        return self.task.collate(examples, self.tokenizer.pad_token_id)

    def predictions(self, **options: Any) -> list[Prediction]:
        with torch.inference_mode():
            return list(
                self.task.predict(
                    self.model, [(self.rows, self.batch())], self.tokenizer, **options
                )
            )


CASES = [
    pytest.param((name, number), id=f"{name}-{number}")
    for name in TASKS
    for number in range(max(len(samples_of(name)), 1))
]


@pytest.fixture(scope="module", params=CASES)
def bound(request: pytest.FixtureRequest) -> Bound:
    """Each task with each of its examples."""
    name, number = request.param
    samples = samples_of(name)
    if not samples:
        pytest.fail(WITHOUT_SAMPLES.format(name=name, function=name.replace("-", "_")))
    example = samples[number]
    folder = request.getfixturevalue(example.model)
    task = TASKS[name](TASKS[name].Options(**example.options))
    task.bind(task.find_columns(list(example.rows[0]), example.rows))
    task.fit(example.rows, example.rows[:2])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    task.prepare_tokenizer(tokenizer)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = getattr(transformers, task.auto_class).from_pretrained(
        folder, attn_implementation="eager", **task.model_arguments()
    )
    return Bound(example, task, model.eval(), tokenizer)


# -- what a task is -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_samples(name: str) -> None:
    assert samples_of(name), WITHOUT_SAMPLES.format(name=name, function=name.replace("-", "_"))


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
    assert task.label
    assert {task.main_metric, task.best_metric, "loss"} <= {metric.name for metric in task.metrics}
    assert len({metric.name for metric in task.metrics}) == len(task.metrics)
    options = task.Options.model_fields
    assert {f"{role}_column" for role in task.column_names} <= options.keys()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_can_learn_from_the_rows_that_it_shows(name: str) -> None:
    task = TASKS[name](TASKS[name].Options())
    rows = [{**row, "_row": number} for number, row in enumerate(task.examples, 1)]
    task.bind(task.find_columns(list(rows[0]), rows))
    assert not [fault for row in rows for fault in task.faults(row)]
    assert len({task.key(row) for row in rows}) == len(rows) > 1


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
    assert set(bound.task.columns.values()) <= set(bound.example.columns)
    assert set(bound.task.text_columns()) <= set(bound.example.columns)
    label = bound.task.label_column()
    assert label is None or label in bound.example.columns


def test_an_option_that_names_no_column_is_a_located_problem(bound: Bound) -> None:
    kind = type(bound.task)
    names = [name for name in kind.Options.model_fields if name.endswith("_column")]
    assert names
    available = list(bound.rows[0])
    for name in names:
        task = kind(kind.Options(**{**bound.example.options, name: "nowhere"}))
        if not set(bound.task.columns) & {name.removesuffix("_column")}:
            continue  # a role that this example does not play
        with pytest.raises(ConfigError) as caught:
            task.find_columns(available, bound.rows)
        told = [problem for problem in caught.value.problems if problem.field == f"task.{name}"]
        assert len(told) == 1
        assert all(column in str(told[0].accepted) for column in bound.example.columns)


def test_the_key_of_a_row_is_its_text(bound: Bound) -> None:
    keys = [bound.task.key(row) for row in bound.rows]
    assert len(set(keys)) == len(keys)
    moved = {**bound.rows[0], "_row": 99}
    assert bound.task.key(moved) == keys[0]
    assert all(isinstance(bound.task.stratum(row), str) for row in bound.rows)


def test_facts_are_json_and_make_the_task_again(bound: Bound) -> None:
    examples = bound.encode()
    facts = json.loads(json.dumps(bound.task.facts()))
    again = type(bound.task)(bound.task.options)
    again.bind(bound.task.columns)
    again.restore(facts)
    assert again.facts() == bound.task.facts()
    assert again.encode(bound.rows, bound.tokenizer, 64) == examples


def test_what_was_found_are_options_that_find_it_again(bound: Bound) -> None:
    found = bound.task.resolved()
    options = type(bound.task).Options(**{**bound.task.options.model_dump(), **found})
    task = type(bound.task)(options)
    assert task.find_columns(list(bound.rows[0]), bound.rows) == bound.task.columns
    task.bind(bound.task.columns)
    task.fit(bound.rows, [])
    assert task.model_arguments().keys() <= bound.task.model_arguments().keys()
    assert task.encode(bound.rows, bound.tokenizer, 64) == bound.encode()


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
    assert bound.task.encode([], bound.tokenizer, 64) == []


def test_no_example_is_longer_than_the_limit(bound: Bound) -> None:
    assert max(len(example["input_ids"]) for example in bound.encode()) > 7
    for example in bound.encode(limit=7):
        assert len(example["input_ids"]) <= 7


def test_a_batch_is_tensors_padded_to_its_longest_row(bound: Bound) -> None:
    examples, batch = bound.encode(), bound.batch()
    for name, tensor in batch.items():
        assert isinstance(tensor, torch.Tensor), name
        assert len(tensor) == len(examples), name
    ids = [name for name in batch if name.endswith("input_ids")]
    assert ids
    for name in ids:
        there = batch[name.replace("input_ids", "attention_mask")].bool()
        assert batch[name].shape == there.shape
        assert set(batch[name][~there].tolist()) <= {bound.tokenizer.pad_token_id}
        if name == "input_ids" and batch[name].ndim == 2:
            lists = [row[kept].tolist() for row, kept in zip(batch[name], there, strict=True)]
            assert lists == [example["input_ids"] for example in examples]
            assert batch[name].shape[1] == max(map(len, lists))


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
        key = bound.task.key(row)
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
            (alone,) = bound.task.predict(bound.model, batches, bound.tokenizer)
        assert same_answer(alone.predicted, together[number].predicted)
        assert alone.scores == pytest.approx(together[number].scores, rel=1e-3, abs=1e-5)


def test_a_quick_look_has_the_same_losses(bound: Bound) -> None:
    quick = bound.predictions(generate=False)
    assert [p.loss for p in quick] == [p.loss for p in bound.predictions()]
    assert set(bound.task.quick_metrics()) <= set(bound.task.score(quick).metrics)


def test_the_score_is_finite_numbers_with_the_main_one_among_them(bound: Bound) -> None:
    score = bound.task.score(bound.predictions())
    assert score.main == bound.task.main_metric
    assert {score.main, bound.task.best_metric, "loss"} <= set(score.metrics)
    assert all(math.isfinite(value) for value in score.metrics.values())
    assert not any(name.startswith("eval_") for name in score.metrics)
    assert json.loads(json.dumps(dict(score.details))) == dict(score.details)


def test_the_main_metric_is_what_the_rows_add_to_it(bound: Bound) -> None:
    predictions = bound.predictions()
    metric = bound.task.score(predictions).metrics[bound.task.main_metric]
    weights = sum(p.weight for p in predictions)
    assert all(p.weight >= 0 for p in predictions)
    assert weights > 0
    assert metric == pytest.approx(sum(p.earned for p in predictions) / weights)
    assert not bound.task.prefers_lower(bound.task.main_metric)
    assert all(p.earned <= p.weight and p.earned >= 0 for p in predictions) or (
        not bound.task.main_is_bounded()
    )


def test_every_metric_moves_the_way_that_the_task_says_is_better(bound: Bound) -> None:
    found = bound.predictions()
    bad, good = (
        bound.task.score([bound.example.as_if(one, right=right) for one in found]).metrics
        for right in (False, True)
    )
    assert set(good) == {metric.name for metric in bound.task.metrics}
    assert all(0 <= good[m.name] <= 1 and 0 <= bad[m.name] <= 1 for m in bound.task.metrics
               if m.is_share)  # fmt: skip
    moved = {name: good[name] < bad[name] for name in good if good[name] != bad[name]}
    assert moved == {name: bound.task.prefers_lower(name) for name in moved}
    assert set(moved) >= set(bound.task.quick_metrics()) - {"pearson", "spearman"}


def test_the_baseline_is_a_score_that_can_be_compared(bound: Bound) -> None:
    baseline = bound.task.baseline(bound.rows, bound.rows)
    assert set(baseline) == {"name", "metric", "value"}
    assert baseline["metric"] == bound.task.main_metric
    assert baseline["value"] <= 1
    assert math.isfinite(baseline["value"])


# -- answers to something new -------------------------------------------------------------------


def test_a_row_that_is_asked_gets_the_answer_that_was_predicted_for_it(bound: Bound) -> None:
    task, texts = bound.task, bound.task.text_columns()
    ask = bound.example.question or (lambda row: {name: row[name] for name in texts})
    questions = [task.question(ask(row)) for row in bound.rows]
    examples = task.encode_questions(questions, bound.tokenizer, 64)
    assert not any(example["cut"] for example in examples)
    with torch.inference_mode():
        answers = task.answer(bound.model, examples, bound.tokenizer)
    assert len(answers) == len(bound.rows)
    assert json.dumps([answer.answer for answer in answers])
    if bound.example.answers_as_predicted:
        for answer, prediction in zip(answers, bound.predictions(), strict=True):
            if isinstance(prediction.predicted, float):
                assert answer.answer == pytest.approx(prediction.predicted, rel=1e-4)
            else:
                assert bound.example.predicted(answer.answer) == prediction.predicted


def test_a_question_longer_than_the_limit_is_answered_and_said_to_be_cut(bound: Bound) -> None:
    task, texts = bound.task, bound.task.text_columns()
    ask = bound.example.question or (lambda row: {name: row[name] for name in texts})
    longest = max(bound.rows, key=lambda row: len(bound.task.key(row)))
    question = task.question(ask(longest))
    (whole,) = task.encode_questions([question], bound.tokenizer, 64)
    limit = len(whole["input_ids"]) - 2
    (example,) = task.encode_questions([question], bound.tokenizer, limit)
    assert example["cut"]
    assert len(example["input_ids"]) <= limit
    with torch.inference_mode():
        (answer,) = task.answer(bound.model, [example], bound.tokenizer)
    assert answer.cut


def test_the_usage_is_python_that_names_the_base_model(bound: Bound) -> None:
    code = bound.task.usage(ModelPlace("'final_model'", "'owner/a-base-model'"))
    ast.parse(code)
    assert "'owner/a-base-model'" in code
    assert "final_model" in code
    whole = bound.task.usage(ModelPlace("'merged'"))
    ast.parse(whole)
    assert "'merged'" in whole
    assert "peft" not in whole.lower()
