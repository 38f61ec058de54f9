"""Chats that no template expects: each is a row of the report or is learned, and none a crash."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.chat_families import FAMILIES, chat_tokenizer
from tests.data.rules.checked import broken
from tests.tasks.chats.chat_formats import CHATML, MISTRAL, byte_tokenizer
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking.tables import Checked, check_tables
from tunesmith.data.checking.tokens import ByTokenizer
from tunesmith.data.sources import read_source
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task
from tunesmith.tasks.chats.messages import ROLES
from tunesmith.tasks.tokens.unknown import Vocabulary

CASES = Path(__file__).parents[1] / "cases" / "crash-chat-begins-with-gpt"
QUERYLESS = (
    "{% if messages | selectattr('role', 'equalto', 'user') | list | length == 0 %}"
    "{{ raise_exception('No user query found in messages.') }}{% endif %}"
) + CHATML
"""Refuses a system turn alone, as Qwen3.5's does."""
CARELESS = "{{ '' if messages[0]['role'] == 'user' else messages[0]['content'] + none }}" + CHATML
"""Stumbles over what it doesn't expect, as a program does."""


def tokenizers() -> dict[str, Any]:
    found = {name: chat_tokenizer(each, ["user 0 assistant"]) for name, each in FAMILIES.items()}
    return found | {"mistral": byte_tokenizer(MISTRAL), "queryless": byte_tokenizer(CHATML)}


def held(task: Task, tokenizer: Any, table: pa.Table, **rules: Any) -> Checked:
    by_tokenizer = ByTokenizer(
        lambda rows: task.token_counts(rows, tokenizer),
        lambda rows: task.control_tokens(rows, tokenizer),
        lambda rows: task.unwritten(rows, tokenizer),
        "a model",
        Vocabulary(tokenizer).shares,
    )
    return check_tables(
        {"train": table}, task, ValidationRules(**rules), tokens=by_tokenizer, max_length=512
    )


def sft() -> Task:
    kind = TASKS["sft"]
    return bound(kind(kind.Options()), {"messages": "messages"})


def dpo() -> Task:
    kind = TASKS["dpo"]
    return bound(kind(kind.Options()), {"chosen": "chosen", "rejected": "rejected"})


def every_order(most: int) -> list[list[dict[str, str]]]:
    """A chat in each order that up to `most` roles can speak in."""
    orders = (o for n in range(1, most + 1) for o in itertools.product(ROLES, repeat=n))
    return [[{"role": r, "content": f"{r} {n}"} for n, r in enumerate(order)] for order in orders]


@pytest.mark.parametrize("name", [*FAMILIES, "mistral", "queryless"])
def test_whatever_order_the_roles_speak_in_a_chat_is_learned_or_left_out_with_a_reason(
    name: str,
) -> None:
    tokenizer = tokenizers()[name]
    if name == "queryless":
        tokenizer.chat_template = QUERYLESS
    chats = every_order(3)
    task = sft()
    task.prepare_tokenizer(tokenizer)
    checked = held(task, tokenizer, pa.table({"messages": chats, "_row": range(1, 85)}))
    left = checked.tables["train"].to_pylist()
    task.fit(left, left)
    examples = task.encode(left, tokenizer, 512)
    assert left
    assert all(example["targets"] for example in examples)
    dropped = {f.row for f in checked.report.findings if f.action == "drop"}
    assert dropped | {row["_row"] for row in left} == set(range(1, 85))


@pytest.mark.parametrize("template", [CHATML, MISTRAL, QUERYLESS, CARELESS])
def test_pairs_with_any_prompt_are_learned_or_left_out_with_a_reason(template: str) -> None:
    tokenizer = byte_tokenizer(CHATML)
    tokenizer.chat_template = template
    prompts = every_order(2)
    sides = {
        side: [[*prompt, {"role": "assistant", "content": side}] for prompt in prompts]
        for side in ("chosen", "rejected")
    }
    task = dpo()
    count = len(sides["chosen"])
    checked = held(task, tokenizer, pa.table({**sides, "_row": range(1, count + 1)}))
    left = checked.tables["train"].to_pylist()
    assert left
    assert len(task.encode(left, tokenizer, 512)) == len(left)
    dropped = {f.row for f in checked.report.findings if f.action == "drop"}
    assert dropped | {row["_row"] for row in left} == set(range(1, count + 1))


def test_what_a_template_refuses_is_said_with_its_own_words() -> None:
    user, answer = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}
    system = {"role": "system", "content": "Be kind."}
    table = pa.table({"messages": [[user, answer], [system, user, answer]], "_row": [1, 2]})
    checked = held(sft(), byte_tokenizer(MISTRAL), table)
    assert broken(checked.report) == [(2, "refused_chats", "drop")]
    (found,) = checked.report.findings
    said = "the model's chat template refuses a conversation: no system turns here"
    assert found.advice == said
    assert broken(held(sft(), byte_tokenizer(MISTRAL), table, refused_chats="fail").report) == [
        (2, "refused_chats", "fail")
    ]


@pytest.mark.parametrize("name", ["sft_starts_gpt", "sft_one_starts_gpt"])
def test_a_greeting_is_read_and_not_learned(name: str) -> None:
    source = read_source(str(CASES / f"{name}.jsonl"))
    task = bound(sft(), {"messages": "conversations"})
    tokenizer = byte_tokenizer(CHATML)
    checked = held(task, tokenizer, source.tables["train"])
    left = checked.tables["train"].to_pylist()
    assert len(left) == 20
    for row, example in zip(left, task.encode(left, tokenizer, 512), strict=True):
        learned = tokenizer.decode([token for token in example["labels"] if token >= 0])
        assert learned == f"{row['conversations'][-1]['content']}<|im_end|>"
        greets = row["conversations"][0]["role"] == "assistant"
        assert ("How can I help?" in tokenizer.decode(example["input_ids"])) == greets


def test_an_answer_to_nothing_is_no_answer() -> None:
    alone = [{"role": "assistant", "content": "Hello."}]
    good = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    checked = held(
        sft(), byte_tokenizer(CHATML), pa.table({"messages": [good, alone], "_row": [1, 2]})
    )
    assert (2, "missing_answers", "drop") in broken(checked.report)
