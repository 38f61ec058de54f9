"""Direct preference optimization: pairs as they come, the loss, the shared prompt, the rewards."""

from __future__ import annotations

import math
from typing import Any

import peft
import pytest
import torch
from pydantic import ValidationError
from tests.tasks.chats.chat_formats import CHATML, byte_tokenizer, tiny_llama
from tests.tasks.samples import bound
from torch.nn import functional

from tunesmith.errors import ConfigError, DataError
from tunesmith.tasks.base import Batch, Columns, Row
from tunesmith.tasks.chats.messages import as_base_model
from tunesmith.tasks.dpo import REFERENCES, DirectPreferenceOptimization, DpoOptions
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.packing import PACKED, packs, paired, shares, stacked
from tunesmith.training.kernels import attention

PAIRS: Columns = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
UNPROMPTED: Columns = {"chosen": "chosen", "rejected": "rejected"}
ROWS: list[Row] = [
    {"_row": 1, "prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."},
    {"_row": 2, "prompt": "And?", "chosen": "That is all there is to it.", "rejected": "No"},
    {"_row": 3, "prompt": "A longer question, is it not?", "chosen": "Yes", "rejected": "Yes, but"},
    {"_row": 4, "prompt": "?", "chosen": "!", "rejected": "因為"},
]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def task_with(columns: Columns = PAIRS, **options: Any) -> DirectPreferenceOptimization:
    return bound(DirectPreferenceOptimization(DpoOptions(**options)), columns)


def batch_of(rows: list[Row] = ROWS, limit: int = 200, **options: Any) -> Batch:
    tokenizer = byte_tokenizer(CHATML)
    task = task_with(**options)
    return task.collate(task.encode(rows, tokenizer, limit), tokenizer.pad_token_id)


@pytest.fixture(scope="module")
def adapted() -> Any:
    """A tiny chat model with an adapter that says something."""
    model = peft.get_peft_model(
        tiny_llama(byte_tokenizer(CHATML)),
        peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj", "up_proj"]),
    )
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def by_hand(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the log-probabilities of each answer, and its tokens: one text after the other."""
    sums, counts = [], []
    for ids, labels in (("input_ids", "labels"), ("rejected_ids", "rejected_labels")):
        for number in range(len(batch[ids])):
            with torch.no_grad():
                logits = model(input_ids=batch[ids][number : number + 1]).logits[0]
            wanted = batch[labels][number]
            said = [t for t, label in enumerate(wanted.tolist()) if label != IGNORED]
            chances = functional.log_softmax(logits, dim=-1)
            sums.append(sum(float(chances[t - 1, wanted[t]]) for t in said))
            counts.append(len(said))
    return torch.tensor(sums).view(2, -1), torch.tensor(counts).view(2, -1)


# -- the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, PAIRS),
        ({"prompt": [user("Why?")], "chosen": [said("So.")], "rejected": [said("No.")]}, PAIRS),
        (
            {"chosen": [user("Why?"), said("So.")], "rejected": [user("Why?"), said("No.")]},
            UNPROMPTED,
        ),
        (
            {
                "prompt": "Why?",
                "chosen": [user("Why?"), said("So.")],
                "rejected": [user("Why?"), said("No.")],
            },
            PAIRS,
        ),
        ({"chosen": "Why? So.", "rejected": "Why? No.", "source": "a"}, UNPROMPTED),
        (
            {
                "conversations": [{"from": "human", "value": "Why?"}],
                "chosen": {"from": "gpt", "value": "So."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            {"prompt": "conversations", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"prompt": '[{"role": "user", "content": "Why?"}]', "chosen": "So.", "rejected": "No."},
            PAIRS,
        ),
    ],
    ids=["texts", "turns", "prompt in both", "it twice", "texts with it", "ShareGPT", "JSON"],
)  # fmt: skip
def test_the_same_pair_is_read_however_it_is_written(row: Row, columns: Columns) -> None:
    task = task_with()
    assert dict(task.find_columns(list(row), [row])) == dict(columns)
    assert list(bound(task, columns).faults(row)) == []
    assert bound(task, columns).key(row) == "Why?"
    assert bound(task, columns).pair(row) == (
        1,
        ([user("Why?"), said("So.")], [user("Why?"), said("No.")]),
    )


def test_what_is_no_pair_is_said() -> None:
    task = task_with()
    same = {"prompt": "Why?", "chosen": "So.", "rejected": "So."}
    empty = {"prompt": "Why?", "chosen": "So.", "rejected": " "}
    apart = {"chosen": [user("Why?"), said("So.")], "rejected": [user("How?"), said("No.")]}
    assert [rule for rule, _ in task.faults(same)] == ["missing_answers"]
    assert list(task.faults(empty)) == [
        ("missing_answers", "rejected: the last answer is empty: write it, or remove the row")
    ]
    assert [rule for rule, _ in bound(task, UNPROMPTED).faults(apart)] == ["wrong_order"]
    with pytest.raises(DataError, match="row 7: the answers have no prompt in common"):
        bound(task, UNPROMPTED).fit([{**apart, "_row": 7}], [])
    with pytest.raises(ConfigError) as caught:
        task.find_columns(["text", "label"], [])
    assert [problem.field for problem in caught.value.problems] == ["task.rejected_column"]
    with pytest.raises(ValidationError, match="label_smoothing is for loss_type sigmoid"):
        task_with(loss_type="ipo", label_smoothing=0.1)


def test_an_answer_of_a_pair_that_is_a_thought_alone_is_none() -> None:
    row: Row = {"_row": 7, "prompt": "Why?", "chosen": "So.", "rejected": "<think>Hm.</think>"}
    assert list(task_with().faults(row)) == [
        ("missing_answers", "rejected: the answer is a thought alone: write what it says")
    ]
    with pytest.raises(DataError, match="row 7 has an answer that is a thought alone"):
        task_with().fit([row], [])
    task_with(thinking="keep").fit([row], [])
    assert not list(task_with(thinking="keep").faults(row))
    assert task_with().stratum({**row, "chosen": "<think>Hm.</think> So."}) == "So."


def test_a_pair_of_which_an_answer_is_cut_off_has_no_targets() -> None:
    task, tokenizer = task_with(), byte_tokenizer(CHATML)
    (whole,) = task.encode(ROWS[:1], tokenizer, 200)
    assert whole["targets"] == len("Four.") + len("Five.") + 2
    start = next(i for i, label in enumerate(whole["labels"]) if label != IGNORED)
    (cut,) = task.encode(ROWS[:1], tokenizer, start)
    assert cut["targets"] == 0


# -- the loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prepared", [True, False], ids=["references given", "asked in the step"])
@pytest.mark.parametrize(
    ("loss_type", "smoothing"), [("sigmoid", 0.0), ("sigmoid", 0.2), ("ipo", 0.0)]
)
def test_loss_and_rewards_are_those_of_the_plain_formula(
    adapted: Any, loss_type: str, smoothing: float, prepared: bool
) -> None:
    task = task_with(loss_type=loss_type, label_smoothing=smoothing, beta=0.3)
    batch = batch_of()
    found, counts = by_hand(adapted, batch)
    with as_base_model(adapted), torch.no_grad():
        base, _ = by_hand(adapted, batch)
        told = task.reference(adapted, batch)
    if prepared:
        for name in REFERENCES:
            batch[name] = torch.tensor([each[name] for each in told])
    gain = found - base
    margins = 0.3 * (gain[0] - gain[1])
    if loss_type == "ipo":
        expected = ((gain / counts)[0] - (gain / counts)[1] - 1 / 0.6) ** 2
    else:
        right, wrong = torch.sigmoid(margins).log(), torch.sigmoid(-margins).log()
        expected = -(1 - smoothing) * right - smoothing * wrong
    with torch.no_grad():
        assert float(task.loss(adapted, batch)) == pytest.approx(float(expected.mean()), abs=1e-5)
        predictions = list(task.predict(adapted, [(ROWS, batch)], None))
    score = task.score(predictions).metrics
    rewards = (0.3 * gain).mean(dim=1).tolist()
    assert score["reward_chosen"] == pytest.approx(rewards[0], abs=1e-5)
    assert score["reward_rejected"] == pytest.approx(rewards[1], abs=1e-5)
    assert score["reward_margin"] == pytest.approx(float(margins.mean()), abs=1e-5)
    assert score["accuracy"] == float((margins > 0).float().mean())
    assert [p.loss for p in predictions] == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_untrained_adapter_prefers_neither_and_a_tie_is_not_right(adapted: Any) -> None:
    task, batch = task_with(), batch_of()
    with torch.no_grad(), as_base_model(adapted):
        predictions = list(task.predict(adapted, [(ROWS, batch)], None))
    score = task.score(predictions)
    assert [p.predicted for p in predictions] == [None] * 4
    assert score.metrics["accuracy"] == 0
    assert score.metrics["loss"] == pytest.approx(math.log(2))
    assert score.details == {"ties": 4}
    assert task.baseline(ROWS, ROWS)["value"] == 0.5


def test_a_pair_in_one_row_gives_what_two_rows_give(adapted: Any) -> None:
    task, batch = task_with(), batch_of([*ROWS, {**ROWS[0], "rejected": "Four. And a half."}])
    assert paired(batch).inputs["input_ids"].numel() < stacked(batch).inputs["input_ids"].numel()

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        adapted.zero_grad()
        loss = task.loss(adapted, batch)
        loss.backward()
        return loss.detach(), [
            parameter.grad for parameter in adapted.parameters() if parameter.grad is not None
        ]

    apart, of_apart = gradients()
    base = adapted.get_base_model()
    adapted.train()
    try:
        attention.register()
        base.set_attn_implementation(PACKED)
        assert packs(adapted)
        assert shares(adapted)
        together, of_together = gradients()
    finally:
        base.set_attn_implementation("eager")
        adapted.eval()
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(of_together, of_apart, rtol=1e-4, atol=1e-5)


def test_single_answers_that_are_marked_are_no_pairs() -> None:
    row = {"prompt": "Two and two?", "completion": "Four.", "label": True}
    with pytest.raises(ConfigError, match="label says whether it is a good one"):
        task_with().find_columns([*row], [row, {**row, "label": False}])


def test_a_pair_is_asked_by_what_both_answers_begin_with() -> None:
    task = task_with(UNPROMPTED)
    asked = task.question({"chosen": "The sky is blue", "rejected": "The sky is red"})
    assert asked == {"messages": [user("The sky is")]}
