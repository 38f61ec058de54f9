"""Generated answers of a chat model, and how good they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.chats.chat_formats import (
    CHATML,
    NO_END,
    byte_tokenizer,
)
from tests.tasks.samples import bound
from tests.tasks.test_sft import (
    PAIRS,
    QUESTIONS,
    TALKS,
    batch_of,
    task_with,
)
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
)

from tunesmith.data.sources import read_source
from tunesmith.tasks.base import Batch, Row
from tunesmith.tasks.chats.generation import surely_greedy
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.results import Prediction
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning


class Counting(SupervisedFineTuning):
    """Remembers how many answers were generated token by token."""

    generated = 0

    def _generate(
        self, model: Any, batch: Batch, wanted: Sequence[int], tokenizer: Any
    ) -> list[list[int]]:
        self.generated += len(wanted)
        return super()._generate(model, batch, wanted, tokenizer)


class Everything(Counting):
    """Generates every answer, whatever teacher forcing says."""

    def _known(
        self, batch: Batch, tokenizer: Any, sure: torch.Tensor, owners: torch.Tensor
    ) -> dict[int, list[int]]:
        return {}


Trained = tuple[Any, Any, Sequence[Row]]


@pytest.fixture(scope="module")
def half_trained(tiny_chat: Path, reviews: Path) -> Trained:
    """The tiny chat model after a few steps: right about some reviews, wrong about others."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(tiny_chat)
    model = AutoModelForCausalLM.from_pretrained(tiny_chat, dtype=torch.float32)
    table = next(iter(read_source(str(reviews)).tables.values()))
    rows: list[dict[str, Any]] = [
        {"_row": n, "prompt": row["review"], "answer": row["verdict"]}
        for n, row in enumerate(table.to_pylist()[:64], 1)
    ]
    for row in rows[::5]:
        row["answer"] = f"very {row['answer']} indeed"  # a word that the tokenizer doesn't know
    for row in rows[1::5]:
        row["answer"] = f"quite  {row['answer']}"  # a space that no token gives back
    task = task_with()
    task.prepare_tokenizer(tokenizer)
    batch = batch_of(task, rows, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    torch.manual_seed(0)
    for _ in range(30):
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        optimizer.step()
    return model.eval(), tokenizer, rows


def predict(
    kind: type[Counting], trained: Trained, **options: Any
) -> tuple[Counting, list[Prediction]]:
    model, tokenizer, rows = trained
    task = bound(kind(SftOptions(**options)), PAIRS)
    examples = task.encode(rows, tokenizer, 200)
    batches = [
        (rows[start : start + 16], task.collate(examples[start : start + 16], 0))
        for start in range(0, len(rows), 16)
    ]
    with torch.no_grad():
        return task, list(task.predict(model, batches, tokenizer))


@pytest.mark.parametrize("limit", [None, 1, 2, 3])
def test_generating_only_what_teacher_forcing_leaves_open_changes_nothing(
    half_trained: Trained, limit: int | None
) -> None:
    short, found = predict(Counting, half_trained, max_new_tokens=limit)
    full, expected = predict(Everything, half_trained, max_new_tokens=limit)
    assert full.generated == len(expected)
    assert found == expected
    if limit is None:
        assert short.generated < full.generated * 0.8
        right = [p.row for p in found if p.correct]
        assert 10 < len(right) < 60
        # Every token was right, and still the text is not: only its tokens can be generated.
        assert any(not p.correct and p.tokens_correct == p.tokens for p in found)


@pytest.mark.parametrize("template", [CHATML, NO_END])
def test_only_an_answer_that_ends_is_known_without_generating_it(template: str) -> None:
    tokenizer, task = byte_tokenizer(template), task_with(max_new_tokens=6)
    whole = task.encode(QUESTIONS[:1], tokenizer, 200)
    length = len(whole[0]["input_ids"])

    def known(limit: int, *, sure: bool = True) -> dict[int, list[int]]:
        batch = task.collate(task.encode(QUESTIONS[:1], tokenizer, limit), 0)
        count = int((batch["labels"] != IGNORED).sum())
        tokens = torch.full((count,), sure)
        return task._known(batch, tokenizer, tokens, torch.zeros(count, dtype=torch.long))

    assert known(200) == {0: whole[0]["input_ids"][-len("Four.") - 1 :]}
    assert known(200, sure=False) == {}
    assert known(length - 1) == {}  # its end was cut off
    task = task_with(max_new_tokens=5)
    assert known(200) == {}


class Deceived(Counting):
    """Takes every answer for known, whatever the model says."""

    def _known(
        self, batch: Batch, tokenizer: Any, sure: torch.Tensor, owners: torch.Tensor
    ) -> dict[int, list[int]]:
        return super()._known(batch, tokenizer, torch.ones_like(sure), owners)


def test_a_sample_of_the_known_answers_is_generated_and_all_where_one_differs(
    half_trained: Trained,
) -> None:
    model, tokenizer, rows = half_trained
    _, judged = predict(Everything, half_trained)
    wrong = [row for row, p in zip(rows, judged, strict=True) if p.tokens_correct < p.tokens]
    _, expected = predict(Everything, (model, tokenizer, wrong))
    sampled, found = predict(Deceived, (model, tokenizer, wrong))
    assert [(p.predicted, p.ended) for p in found] == [(p.predicted, p.ended) for p in expected]
    assert sampled.generated == len(found) > 1


def test_once_a_known_answer_came_out_otherwise_none_is_believed_again(
    half_trained: Trained,
) -> None:
    model, tokenizer, rows = half_trained
    _, judged = predict(Everything, half_trained)
    wrong = next(row for row, p in zip(rows, judged, strict=True) if p.tokens_correct < p.tokens)
    right = [row for row, p in zip(rows, judged, strict=True) if p.correct]
    for first, fast in ((right[0], True), (wrong, False)):
        task = Deceived(SftOptions(max_new_tokens=4))
        parts = [[first], right[1:2], right[2:8]]
        batches = [(part, batch_of(task, part, tokenizer)) for part in parts]
        with torch.no_grad():
            found = list(task.predict(model, batches, tokenizer))
        assert (task.generated < len(found)) is fast


def test_a_lead_that_rounding_could_turn_is_not_sure() -> None:
    logits = torch.tensor([[30.0, 29.9, 0.0], [30.0, 20.0, 0.0], [20.0, 30.0, 0.0]])
    for format_, sure in ((torch.float32, [True, True]), (torch.bfloat16, [False, True])):
        hit, leads = surely_greedy(logits.to(format_), torch.zeros(3, dtype=torch.long))
        assert hit.tolist() == [True, True, False]
        assert leads.tolist()[:2] == sure


def test_the_share_of_answers_that_ended_is_a_metric_and_a_caution_where_it_is_low() -> None:
    def said(*, ended: bool) -> Prediction:
        return Prediction(1, "t", "x", "x", correct=True, ended=ended)

    task = task_with()
    score = task.score([said(ended=True)] * 98 + [said(ended=False)] * 2)
    assert score.metrics["answers_ended"] == 0.98
    (caution,) = task.cautions(score)
    assert "98.0% of the held-out answers ended with their end token" in caution
    assert task.cautions(task.score([said(ended=True)] * 100)) == []


def test_several_turns_are_answered_as_if_alone(half_trained: Trained) -> None:
    model, tokenizer, rows = half_trained
    talks: list[Row] = [
        {"messages": [
            {"role": "user", "content": one["prompt"]},
            {"role": "assistant", "content": one["answer"]},
            {"role": "user", "content": other["prompt"]},
            {"role": "assistant", "content": other["answer"]},
        ]}
        for one, other in zip(rows[2:20:5], rows[3:20:5], strict=True)
    ]  # fmt: skip
    with torch.no_grad():
        for kind in (Counting, Everything):
            task = kind(SftOptions())
            batch = batch_of(task, talks, tokenizer, TALKS)
            together = list(bound(task, TALKS).predict(model, [(talks, batch)], tokenizer))
            for talk, prediction in zip(talks, together, strict=True):
                single = batch_of(task, [talk], tokenizer, TALKS)
                (alone,) = bound(task, TALKS).predict(model, [([talk], single)], tokenizer)
                assert (alone.predicted, alone.expected) == (
                    prediction.predicted,
                    prediction.expected,
                )
                assert prediction.expected == talk["messages"][-1]["content"]


def test_answers_do_not_depend_on_the_padding_to_their_left(half_trained: Trained) -> None:
    model, tokenizer, rows = half_trained
    task = task_with(max_new_tokens=4)
    batch = batch_of(task, rows, tokenizer)
    assert len(set(batch["prompt_length"].tolist())) > 3
    with torch.no_grad():
        together = task._generate(model, batch, range(len(rows)), tokenizer)
        for number in range(0, len(rows), 6):
            (alone,) = task._generate(model, batch, [number], tokenizer)
            # In the batch, an answer that ended early is padded.
            assert together[number][: len(alone)] == alone
            assert set(together[number][len(alone) :]) <= {tokenizer.pad_token_id}


def test_the_head_of_a_generating_model_reads_one_piece_of_memory(half_trained: Trained) -> None:
    model, tokenizer, rows = half_trained
    task = task_with(max_new_tokens=3)
    batch = batch_of(task, rows[:4], tokenizer)
    pieces: list[bool] = []
    original = functional.linear

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function is original and len(args[1]) == model.config.vocab_size:
                pieces.append(args[0].is_contiguous())
            return function(*args, **(kwargs or {}))

    with torch.no_grad(), Watching():
        task._generate(model, batch, range(4), tokenizer)
    assert pieces
    assert all(pieces)


# -- the score ----------------------------------------------------------------------------------


def test_metrics_are_those_computed_by_hand() -> None:
    def said(*, correct: bool, loss: float, tokens: int, right: int) -> Prediction:
        return Prediction(
            1, "t", "x", "y", correct=correct, loss=loss, tokens=tokens, tokens_correct=right
        )

    score = task_with().score(
        [
            said(correct=True, loss=0.5, tokens=2, right=2),
            said(correct=False, loss=2.0, tokens=6, right=3),
            said(correct=False, loss=0.0, tokens=0, right=0),
        ]
    )
    assert score.main == "exact_match"
    assert score.metrics == {
        "exact_match": 1 / 3,
        "token_accuracy": 5 / 8,
        "loss": (0.5 * 2 + 2.0 * 6) / 8,
        "perplexity": math.exp(13 / 8),
    }


def test_a_loss_beyond_all_numbers_has_a_perplexity_that_is_one() -> None:
    worst = Prediction(1, "t", "x", "y", correct=False, loss=1e6)
    assert math.isfinite(task_with().score([worst]).metrics["perplexity"])


def test_the_baseline_is_the_most_frequent_answer() -> None:
    train: list[Row] = [{"prompt": "x", "answer": a} for a in ("b", " b", "a")]
    evaluation: list[Row] = [{"prompt": "x", "answer": a} for a in ("b", "a", "a", "a")]
    assert task_with().baseline(train, evaluation) == {
        "name": "always 'b', the most frequent answer",
        "metric": "exact_match",
        "value": 0.25,
    }


def test_thoughts_before_answers_count_neither_in_the_baseline_nor_in_the_strata() -> None:
    said = ["<think>One way.</think>\n\nb", "b", "<think>Another way, far longer.</think> b", "a"]
    rows: list[Row] = [{"prompt": "x", "answer": answer} for answer in said]
    task = task_with(thinking="keep")
    assert task.baseline(rows, rows)["name"] == "always 'b', the most frequent answer"
    assert task.baseline(rows, rows)["value"] == 0.75
    assert [task.stratum(row) for row in rows] == ["b", "b", "b", "a"]
    assert [task.batch_stratum(row) for row in rows] == ["b", "b", "b", "a"]
