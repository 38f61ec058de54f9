"""Supervised fine-tuning: what is learned of a conversation, the loss, the generated answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from tests.tasks.chat_formats import (
    CHATML,
    END,
    FORGETS,
    LLAMA3,
    MISTRAL,
    NO_END,
    byte_tokenizer,
    tiny_llama,
)
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    PreTrainedModel,
)

from tunesmith.data.sources import read_source
from tunesmith.errors import ConfigError, DataError, ModelError
from tunesmith.tasks.base import Batch, Columns, Prediction, Row
from tunesmith.tasks.columns import IGNORED
from tunesmith.tasks.generation import surely_greedy
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning

PAIRS: Columns = {"prompt": "prompt", "completion": "answer"}
TALKS: Columns = {"messages": "messages"}
TALK: Row = {
    "_row": 1,
    "messages": [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "為什麼?"},
        {"role": "assistant", "content": "因為 so."},
    ],
}
QUESTIONS: list[Row] = [
    {"_row": 1, "prompt": "Two and two?", "answer": "Four."},
    {"_row": 2, "prompt": "And?", "answer": "That is all there is to it."},
    {"_row": 3, "prompt": "A longer question, is it not?", "answer": "Yes"},
    {"_row": 4, "prompt": "?", "answer": "!"},
    {"_row": 5, "prompt": "Why so, then", "answer": "因為"},
]


def task_with(**options: Any) -> SupervisedFineTuning:
    return SupervisedFineTuning(SftOptions(**options))


def learned(row: Row, columns: Columns, template: str, **options: Any) -> list[str]:
    """The runs of tokens that are learned, as text, found from the labels alone."""
    tokenizer = byte_tokenizer(template)
    (example,) = task_with(**options).encode([row], columns, tokenizer, 1000)
    runs: list[list[int]] = [[]]
    for token, label in zip(example["input_ids"], example["labels"], strict=True):
        if label == IGNORED:
            runs.append([])
        else:
            assert label == token
            runs[-1].append(label)
    assert example["targets"] == sum(map(len, runs))
    return [str(tokenizer.decode(run)) for run in runs if run]


def batch_of(
    task: SupervisedFineTuning, rows: Sequence[Row], tokenizer: Any, columns: Columns = PAIRS
) -> Batch:
    return task.collate(task.encode(rows, columns, tokenizer, 200), tokenizer.pad_token_id)


# -- the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_exactly_the_answers_and_their_end_tokens_are_learned(template: str) -> None:
    end = END[template]
    assert learned(TALK, TALKS, template) == [f"Good day.{end}", f"因為 so.{end}"]
    assert learned(QUESTIONS[0], PAIRS, template) == [f"Four.{end}"]
    assert learned(TALK, TALKS, template, system_prompt="Be brief.") == [
        f"Good day.{end}",
        f"因為 so.{end}",
    ]


def test_an_answer_that_follows_a_space_is_learned_with_it() -> None:
    assert learned(QUESTIONS[0], PAIRS, MISTRAL) == [" Four.</s>"]


def test_where_the_format_forgets_earlier_answers_they_are_learned_by_themselves() -> None:
    assert learned(TALK, TALKS, FORGETS) == ["因為 so.<|im_end|>"]
    tokenizer = byte_tokenizer(FORGETS)
    (example,) = task_with().encode([TALK], TALKS, tokenizer, 1000)
    (earlier,) = example["earlier"]
    assert tokenizer.decode([t for t in earlier["labels"] if t != IGNORED]) == "Good day.<|im_end|>"


def test_a_system_prompt_goes_before_conversations_that_have_none() -> None:
    task = task_with(system_prompt="Be brief.")
    assert task.messages(TALK, TALKS)[0] == {"role": "system", "content": "Be brief."}
    own: Row = {"messages": [{"role": "system", "content": "Own"}, *TALK["messages"]]}
    assert [t["content"] for t in task.messages(own, TALKS) if t["role"] == "system"] == ["Own"]


def test_what_the_length_limit_cuts_off_is_no_target() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    rows = QUESTIONS[:1]
    (whole,) = task.encode(rows, PAIRS, tokenizer, 200)
    start = whole["prompt_length"]
    assert (whole["targets"], whole["whole"]) == (len("Four.") + 1, True)
    (part,) = task.encode(rows, PAIRS, tokenizer, start + 2)
    assert (part["targets"], part["whole"], len(part["input_ids"])) == (2, False, start + 2)
    (nothing,) = task.encode(rows, PAIRS, tokenizer, start)
    assert (nothing["targets"], nothing["whole"]) == (0, False)
    assert all(label == IGNORED for label in nothing["labels"])


def test_a_row_without_targets_is_predicted_wrong_among_others() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    rows = QUESTIONS[:2]
    whole = task.encode(rows, PAIRS, tokenizer, 200)
    cut = task.encode(rows[:1], PAIRS, tokenizer, whole[0]["prompt_length"])
    batch = task.collate([*cut, whole[1]], tokenizer.pad_token_id)
    with torch.no_grad():
        first, second = task.predict(
            tiny_llama(tokenizer), [(rows, batch)], PAIRS, tokenizer, generate=False
        )
        predicted, _ = task.predict(tiny_llama(tokenizer), [(rows, batch)], PAIRS, tokenizer)
    assert (first.tokens, first.tokens_correct, first.loss, first.correct) == (0, 0, 0.0, False)
    assert first.confidence is None
    same = {**rows[0], "answer": str(predicted.predicted)}
    with torch.no_grad():
        again, _ = task.predict(tiny_llama(tokenizer), [([same, rows[1]], batch)], PAIRS, tokenizer)
    assert (again.predicted, again.correct) == (again.expected, False)
    assert second.tokens == len("That is all there is to it.") + 1


@pytest.mark.parametrize(
    ("available", "columns"),
    [
        (("id", "Messages"), {"messages": "Messages"}),
        (("conversations", "prompt", "response"), {"messages": "conversations"}),
        (("instruction", "output"), {"prompt": "instruction", "completion": "output"}),
        (("question", "answer", "x"), {"prompt": "question", "completion": "answer"}),
        (("gut", "response"), {"prompt": "gut", "completion": "response"}),
    ],
)
def test_columns_are_known_by_their_names(
    available: tuple[str, ...], columns: dict[str, str]
) -> None:
    assert task_with().columns(available, [dict.fromkeys(available, "words")]) == columns


def test_columns_that_are_named_win() -> None:
    rows: list[Row] = [{"messages": "m", "a": "x", "b": "y"}]
    named = task_with(prompt_column="a", completion_column="b").columns(
        ["messages", "a", "b"], rows
    )
    assert named == {"prompt": "a", "completion": "b"}
    with pytest.raises(ConfigError, match=r"task\.messages_column: no such column; got 'talk'"):
        task_with(messages_column="talk").columns(["messages", "a", "b"], rows)


def test_a_template_puts_columns_into_the_question() -> None:
    task = task_with(prompt_template="{title}: {text}\n{text}?", completion_column="n")
    row: Row = {"title": "T", "text": "say {title}", "n": 3.0}
    columns = task.columns(["title", "text", "n"], [row])
    assert columns == {"completion": "n"}
    assert task.messages(row, columns) == [
        {"role": "user", "content": "T: say {title}\nsay {title}?"},
        {"role": "assistant", "content": "3"},
    ]
    assert task.text_columns(columns) == ["text", "title"]


def test_a_template_with_an_unknown_column_names_the_nearest() -> None:
    task = task_with(prompt_template="{txt} {review}", completion_column="n")
    with pytest.raises(ConfigError) as caught:
        task.columns(["text", "review", "n"], [])
    assert [str(problem) for problem in caught.value.problems] == [
        "task.prompt_template: no column 'txt'; accepted: text, review, n; did you mean text?"
    ]


@pytest.mark.parametrize(
    "template", ["{text.__class__}", "{text[0]}", "{text!r}", "{0}", "{ text }"]
)
def test_a_template_is_never_evaluated(template: str) -> None:
    task = task_with(prompt_template=template, completion_column="n")
    with pytest.raises(ConfigError, match="no column"):
        task.columns(["text", "n"], [{"text": "x", "n": "y"}])


def test_an_empty_answer_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match="row 7 has an empty answer"):
        task_with().fit([{"_row": 7, "prompt": "x", "answer": " \n"}], [], PAIRS)
    with pytest.raises(DataError, match="row 9, column 'messages': ends with user"):
        task_with().fit([], [{"_row": 9, "messages": TALK["messages"][:3]}], TALKS)


def test_an_answer_that_is_a_thought_alone_is_none_unless_thoughts_are_kept() -> None:
    for thought in ("<think>Hm.</think>", " <think>\nHm.", "<think></think>\n"):
        row: Row = {"prompt": "x", "answer": thought}
        talk: Row = {"messages": [*TALK["messages"][:1], {"role": "assistant", "content": thought}]}
        for asked, columns in ((row, PAIRS), (talk, TALKS)):
            ((rule, advice),) = task_with().faults(asked, columns)
            assert (rule, "a thought alone" in advice) == ("missing_answers", True)
            assert not list(task_with(thinking="keep").faults(asked, columns))
            with pytest.raises(DataError, match="row 7 has an answer that is a thought alone"):
                task_with().fit([{**asked, "_row": 7}], [], columns)
            task_with(thinking="keep").fit([asked], [], columns)
    assert not list(task_with().faults({"prompt": "x", "answer": "<think>Hm.</think>Four"}, PAIRS))


def test_an_earlier_answer_that_is_a_thought_alone_is_none_either() -> None:
    first, _, *later = TALK["messages"]
    row: Row = {"messages": [first, {"role": "assistant", "content": "<think>Hm."}, *later]}
    task = task_with(system_prompt="Be brief.")
    assert list(task.faults(row, TALKS)) == [
        ("empty_turns", "turn 2 is a thought alone: write what it says")
    ]
    with pytest.raises(DataError, match=r"row \? has an answer that is a thought alone"):
        task.fit([], [row], TALKS)
    assert not list(task_with(thinking="keep").faults(row, TALKS))


def test_a_base_model_without_a_chat_format_is_refused() -> None:
    with pytest.raises(ModelError, match="not a chat model"):
        task_with().prepare_tokenizer(byte_tokenizer())
    with pytest.raises(ModelError, match="no padding and no end token"):
        task_with().prepare_tokenizer(byte_tokenizer(NO_END, padding=False, end=None))


def test_a_tokenizer_without_padding_pads_with_the_end_token() -> None:
    tokenizer = byte_tokenizer(CHATML, padding=False)
    task_with().prepare_tokenizer(tokenizer)
    assert tokenizer.pad_token == "<|im_end|>"


def test_rows_with_the_same_question_have_the_same_key() -> None:
    task = task_with(system_prompt="x")
    assert task.key(QUESTIONS[0], PAIRS) == task.key({**QUESTIONS[0], "answer": "5"}, PAIRS)
    assert task.key(TALK, TALKS) == "Hello?\n為什麼?"


# -- the loss -----------------------------------------------------------------------------------


def tiny_gemma2(tokenizer: Any) -> Any:
    """A Gemma 2, which bends its logits with a soft cap, small enough for the cap to matter."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
        query_pre_attn_scalar=16, final_logit_softcapping=3.0, initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return Gemma2ForCausalLM(config).eval()


def with_lora(model: PreTrainedModel) -> Any:
    """`model` in float64 with an adapter whose weights are all random."""
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False
    )
    return peft.get_peft_model(model.double(), config, autocast_adapter_dtype=False).eval()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("build", [tiny_llama, tiny_gemma2])
def test_loss_and_gradients_are_those_of_logits_made_everywhere(build: Any) -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    model, batch = with_lora(build(tokenizer)), batch_of(task, QUESTIONS, tokenizer)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits[:, :-1]
    assert logits.dtype == torch.float64
    labels = batch["labels"][:, 1:]
    expected = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED
    )
    torch.autograd.backward(expected)
    wanted = gradients(model)
    model.zero_grad()
    found = task.loss(model, batch)
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    reached = gradients(model)
    assert reached.keys() == wanted.keys()
    assert sum(".lora_" in name for name in reached) == len(reached) == 2 * 2 * 7
    for name, gradient in wanted.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(reached[name], gradient, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("build", [tiny_llama, tiny_gemma2])
def test_the_loss_is_the_models_own(build: Any) -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    model, batch = with_lora(build(tokenizer)), batch_of(task, QUESTIONS, tokenizer)
    own = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).loss
    # transformers computes its loss from logits in float32.
    torch.testing.assert_close(task.loss(model, batch).float(), own.float(), rtol=1e-6, atol=0)


def test_accumulated_batches_give_the_gradient_of_one_big_batch() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    model = with_lora(tiny_llama(tokenizer))
    task.loss(model, batch_of(task, QUESTIONS, tokenizer)).backward()
    whole = gradients(model)
    model.zero_grad()
    parts = [batch_of(task, rows, tokenizer) for rows in (QUESTIONS[:1], QUESTIONS[1:])]
    items = sum(task.count_items(part) for part in parts)
    assert items == sum(len(str(row["answer"]).encode()) + 1 for row in QUESTIONS)
    for part in parts:
        task.loss(model, part, items).backward()
    for name, gradient in gradients(model).items():
        scale = float(whole[name].abs().max())
        torch.testing.assert_close(gradient, whole[name], rtol=0, atol=1e-10 * scale)


def test_a_predictions_loss_is_the_mean_over_its_own_answer() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    model = tiny_llama(tokenizer).double()
    with torch.no_grad():
        batch = batch_of(task, QUESTIONS, tokenizer)
        together = list(task.predict(model, [(QUESTIONS, batch)], PAIRS, tokenizer, generate=False))
        for row, prediction in zip(QUESTIONS, together, strict=True):
            alone = float(task.loss(model, batch_of(task, [row], tokenizer)))
            assert prediction.loss == pytest.approx(alone, rel=1e-12)
            assert prediction.tokens == len(str(row["answer"]).encode()) + 1
            assert list(prediction.scores) == [pytest.approx(alone * prediction.tokens)]
            assert prediction.confidence == pytest.approx(math.exp(-alone * prediction.tokens))
            assert prediction.row == row["_row"]


# -- generated answers --------------------------------------------------------------------------


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
    task = kind(SftOptions(**options))
    examples = task.encode(rows, PAIRS, tokenizer, 200)
    batches = [
        (rows[start : start + 16], task.collate(examples[start : start + 16], 0))
        for start in range(0, len(rows), 16)
    ]
    with torch.no_grad():
        return task, list(task.predict(model, batches, PAIRS, tokenizer))


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
    whole = task.encode(QUESTIONS[:1], PAIRS, tokenizer, 200)
    length = len(whole[0]["input_ids"])

    def known(limit: int, *, sure: bool = True) -> dict[int, list[int]]:
        batch = task.collate(task.encode(QUESTIONS[:1], PAIRS, tokenizer, limit), 0)
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
            found = list(task.predict(model, batches, PAIRS, tokenizer))
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
            together = list(task.predict(model, [(talks, batch)], TALKS, tokenizer))
            for talk, prediction in zip(talks, together, strict=True):
                single = batch_of(task, [talk], tokenizer, TALKS)
                (alone,) = task.predict(model, [([talk], single)], TALKS, tokenizer)
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
    assert task_with().baseline(train, evaluation, PAIRS) == {
        "name": "always 'b', the most frequent answer",
        "metric": "exact_match",
        "value": 0.25,
    }


def test_thoughts_before_answers_count_neither_in_the_baseline_nor_in_the_strata() -> None:
    said = ["<think>One way.</think>\n\nb", "b", "<think>Another way, far longer.</think> b", "a"]
    rows: list[Row] = [{"prompt": "x", "answer": answer} for answer in said]
    task = task_with(thinking="keep")
    assert task.baseline(rows, rows, PAIRS)["name"] == "always 'b', the most frequent answer"
    assert task.baseline(rows, rows, PAIRS)["value"] == 0.75
    assert [task.stratum(row, PAIRS) for row in rows] == ["b", "b", "b", "a"]
    assert [task.batch_stratum(row, PAIRS) for row in rows] == ["b", "b", "b", "a"]
