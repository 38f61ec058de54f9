"""Supervised fine-tuning: what is learned of a conversation, the loss, the generated answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import peft
import pytest
import torch
from tests.tasks.chats.chat_formats import (
    CHATML,
    END,
    FORGETS,
    LLAMA3,
    MISTRAL,
    NO_END,
    byte_tokenizer,
    tiny_llama,
)
from tests.tasks.samples import bound
from torch.nn import functional
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    PreTrainedModel,
)

from tunesmith.errors import ConfigError, DataError, ModelError
from tunesmith.tasks.base import Batch, Columns, Row
from tunesmith.tasks.parts.columns import IGNORED
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


def task_with(columns: Columns = PAIRS, **options: Any) -> SupervisedFineTuning:
    return bound(SupervisedFineTuning(SftOptions(**options)), columns)


def learned(row: Row, columns: Columns, template: str, **options: Any) -> list[str]:
    """The runs of tokens that are learned, as text, found from the labels alone."""
    tokenizer = byte_tokenizer(template)
    (example,) = bound(task_with(**options), columns).encode([row], tokenizer, 1000)
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
    return task.collate(bound(task, columns).encode(rows, tokenizer, 200), tokenizer.pad_token_id)


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
    (example,) = bound(task_with(), TALKS).encode([TALK], tokenizer, 1000)
    (earlier,) = example["earlier"]
    assert tokenizer.decode([t for t in earlier["labels"] if t != IGNORED]) == "Good day.<|im_end|>"


def test_a_system_prompt_goes_before_conversations_that_have_none() -> None:
    task = task_with(system_prompt="Be brief.")
    assert bound(task, TALKS).messages(TALK)[0] == {"role": "system", "content": "Be brief."}
    own: Row = {"messages": [{"role": "system", "content": "Own"}, *TALK["messages"]]}
    assert [t["content"] for t in bound(task, TALKS).messages(own) if t["role"] == "system"] == [
        "Own"
    ]


def test_what_the_length_limit_cuts_off_is_no_target() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    rows = QUESTIONS[:1]
    (whole,) = task.encode(rows, tokenizer, 200)
    start = whole["prompt_length"]
    assert (whole["targets"], whole["whole"]) == (len("Four.") + 1, True)
    (part,) = task.encode(rows, tokenizer, start + 2)
    assert (part["targets"], part["whole"], len(part["input_ids"])) == (2, False, start + 2)
    (nothing,) = task.encode(rows, tokenizer, start)
    assert (nothing["targets"], nothing["whole"]) == (0, False)
    assert all(label == IGNORED for label in nothing["labels"])


def test_a_row_without_targets_is_predicted_wrong_among_others() -> None:
    tokenizer, task = byte_tokenizer(CHATML), task_with()
    rows = QUESTIONS[:2]
    whole = task.encode(rows, tokenizer, 200)
    cut = task.encode(rows[:1], tokenizer, whole[0]["prompt_length"])
    batch = task.collate([*cut, whole[1]], tokenizer.pad_token_id)
    with torch.no_grad():
        first, second = task.predict(
            tiny_llama(tokenizer), [(rows, batch)], tokenizer, generate=False
        )
        predicted, _ = task.predict(tiny_llama(tokenizer), [(rows, batch)], tokenizer)
    assert (first.tokens, first.tokens_correct, first.loss, first.correct) == (0, 0, 0.0, False)
    assert first.confidence is None
    same = {**rows[0], "answer": str(predicted.predicted)}
    with torch.no_grad():
        again, _ = task.predict(tiny_llama(tokenizer), [([same, rows[1]], batch)], tokenizer)
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
    assert task_with().find_columns(available, [dict.fromkeys(available, "words")]) == columns


def test_columns_that_are_named_win() -> None:
    rows: list[Row] = [{"messages": "m", "a": "x", "b": "y"}]
    named = task_with(prompt_column="a", completion_column="b").find_columns(
        ["messages", "a", "b"], rows
    )
    assert named == {"prompt": "a", "completion": "b"}
    with pytest.raises(ConfigError, match=r"task\.messages_column: no such column; got 'talk'"):
        task_with(messages_column="talk").find_columns(["messages", "a", "b"], rows)


def test_a_template_puts_columns_into_the_question() -> None:
    task = task_with(prompt_template="{title}: {text}\n{text}?", completion_column="n")
    row: Row = {"title": "T", "text": "say {title}", "n": 3.0}
    columns = task.find_columns(["title", "text", "n"], [row])
    assert columns == {"completion": "n"}
    assert bound(task, columns).messages(row) == [
        {"role": "user", "content": "T: say {title}\nsay {title}?"},
        {"role": "assistant", "content": "3"},
    ]
    assert task.text_columns() == ["text", "title"]


def test_a_template_with_an_unknown_column_names_the_nearest() -> None:
    task = task_with(prompt_template="{txt} {review}", completion_column="n")
    with pytest.raises(ConfigError) as caught:
        task.find_columns(["text", "review", "n"], [])
    assert [str(problem) for problem in caught.value.problems] == [
        "task.prompt_template: no column 'txt'; accepted: text, review, n; did you mean text?"
    ]


@pytest.mark.parametrize(
    "template", ["{text.__class__}", "{text[0]}", "{text!r}", "{0}", "{ text }"]
)
def test_a_template_is_never_evaluated(template: str) -> None:
    task = task_with(prompt_template=template, completion_column="n")
    with pytest.raises(ConfigError, match="no column"):
        task.find_columns(["text", "n"], [{"text": "x", "n": "y"}])


def test_an_empty_answer_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match="row 7 has an empty answer"):
        task_with().fit([{"_row": 7, "prompt": "x", "answer": " \n"}], [])
    with pytest.raises(DataError, match="row 9, column 'messages': ends with user"):
        bound(task_with(), TALKS).fit([], [{"_row": 9, "messages": TALK["messages"][:3]}])


def test_an_answer_that_is_a_thought_alone_is_none_unless_thoughts_are_kept() -> None:
    for thought in ("<think>Hm.</think>", " <think>\nHm.", "<think></think>\n"):
        row: Row = {"prompt": "x", "answer": thought}
        talk: Row = {"messages": [*TALK["messages"][:1], {"role": "assistant", "content": thought}]}
        for asked, columns in ((row, PAIRS), (talk, TALKS)):
            ((rule, advice),) = bound(task_with(), columns).faults(asked)
            assert (rule, "a thought alone" in advice) == ("missing_answers", True)
            assert not list(bound(task_with(thinking="keep"), columns).faults(asked))
            with pytest.raises(DataError, match="row 7 has an answer that is a thought alone"):
                bound(task_with(), columns).fit([{**asked, "_row": 7}], [])
            bound(task_with(thinking="keep"), columns).fit([asked], [])
    assert not list(task_with().faults({"prompt": "x", "answer": "<think>Hm.</think>Four"}))


def test_an_earlier_answer_that_is_a_thought_alone_is_none_either() -> None:
    first, _, *later = TALK["messages"]
    row: Row = {"messages": [first, {"role": "assistant", "content": "<think>Hm."}, *later]}
    task = task_with(system_prompt="Be brief.")
    assert list(bound(task, TALKS).faults(row)) == [
        ("empty_turns", "turn 2 is a thought alone: write what it says")
    ]
    with pytest.raises(DataError, match=r"row \? has an answer that is a thought alone"):
        bound(task, TALKS).fit([], [row])
    assert not list(bound(task_with(thinking="keep"), TALKS).faults(row))


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
    assert task.key(QUESTIONS[0]) == task.key({**QUESTIONS[0], "answer": "5"})
    assert bound(task, TALKS).key(TALK) == "Hello?\n為什麼?"


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
        together = list(task.predict(model, [(QUESTIONS, batch)], tokenizer, generate=False))
        for row, prediction in zip(QUESTIONS, together, strict=True):
            alone = float(task.loss(model, batch_of(task, [row], tokenizer)))
            assert prediction.loss == pytest.approx(alone, rel=1e-12)
            assert prediction.tokens == len(str(row["answer"]).encode()) + 1
            assert list(prediction.scores) == [pytest.approx(alone * prediction.tokens)]
            assert prediction.confidence == pytest.approx(math.exp(-alone * prediction.tokens))
            assert prediction.row == row["_row"]


def test_whole_texts_are_said_to_have_no_answers() -> None:
    task = SupervisedFineTuning(SftOptions())
    with pytest.raises(ConfigError, match="text is the only column"):
        task.find_columns(["text", "_row"], [{"text": "Once upon a time.", "_row": 1}])
