"""What the tasks that teach a chat model share: its tokenizer, encoded answers, new questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.base import Answer, Columns, Example, Row, Task, TaskOptions
from tunesmith.tasks.chat import (
    CHAT_RULES,
    Message,
    generate,
    parse_question,
    question_ids,
    render,
)
from tunesmith.tasks.columns import IGNORED, PLACEHOLDER, asked_columns
from tunesmith.tasks.values import canonical

PROMPTS = ("prompt", "instruction", "question", "input", "query", "text")
"""Usual names of the column with what is asked."""


class ChatOptions(TaskOptions):
    """Options of a task whose adapter is asked as a chat; its schema says so."""

    model_config = ConfigDict(json_schema_extra={"writes_text": True})


class ChatTask(Task):
    """A task that teaches a chat model, in the model's own chat format."""

    peft_task_type = "CAUSAL_LM"
    auto_class = "AutoModelForCausalLM"
    fault_rules = CHAT_RULES
    eval_batch_scale = 8

    options: Any
    """Those of the task, with `prompt_template`, `system_prompt` and `max_new_tokens`."""

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.longest_answer = 0
        """Tokens of the longest answer in the data; `encode` finds it."""

    # -- the data ---------------------------------------------------------------------------

    def with_system(self, turns: list[Message]) -> list[Message]:
        """`turns`, after the system prompt of the options where they have none."""
        if self.options.system_prompt and turns[0]["role"] != "system":
            return [{"role": "system", "content": self.options.system_prompt}, *turns]
        return turns

    def prompt(self, row: Row, columns: Columns) -> str:
        """What the user says in `row`: the prompt's column, or the template filled in."""
        template = self.options.prompt_template
        if template is None:
            return canonical(row[columns["prompt"]])
        return PLACEHOLDER.sub(lambda found: canonical(row[found[1]]), template)

    def asked(self, row: Row, columns: Columns) -> str:
        """What tells this row from others, for people: the template's values without its words."""
        if self.options.prompt_template is None or "messages" in columns:
            return self.key(row, columns)
        return "\n".join(canonical(row[name]) for name in self.text_columns(columns))

    def facts(self) -> dict[str, Any]:
        return {"longest_answer": self.longest_answer}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.longest_answer = int(facts["longest_answer"])

    # -- the model --------------------------------------------------------------------------

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                "the base model has no chat template, so it is not a chat model: choose its "
                "instruct or chat variant as model.name."
            )
        if tokenizer.pad_token_id is None:
            if tokenizer.eos_token is None:
                raise ModelError("the base model's tokenizer has no padding and no end token.")
            tokenizer.pad_token = tokenizer.eos_token

    def longest_generated(self) -> int:
        """Most tokens of a generated answer, its end included."""
        return self.options.max_new_tokens or min(self.longest_answer + 2, 512)

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        chats = columns.get("messages", "messages")
        if isinstance(given, Mapping) and (asked := {chats, "messages"} & set(given)):
            turns = parse_question(given[min(asked)], f"column {min(asked)!r}")
        elif "messages" in columns:
            turns = [{"role": "user", "content": asked_columns(given, ["messages"])["messages"]}]
        else:
            row = asked_columns(given, self.text_columns(columns))
            turns = [{"role": "user", "content": self.prompt(row, columns)}]
        return {"messages": self.with_system(turns)}

    def question_length(
        self, trained: int, longest: int | None, max_new_tokens: int | None = None
    ) -> int:
        longest = longest or max(trained, 2048)  # a chat may be longer than those learned from
        most = max_new_tokens or self.longest_generated()
        if most > longest - 4:
            raise DataError(
                f"an answer of {most:,} tokens leaves no room for the question: the model takes "
                f"{longest:,} in all; lower max_new_tokens."
            )
        return longest - most

    def encode_questions(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        found = [question_ids(row["messages"], tokenizer, max_length) for row in rows]
        return [{"input_ids": ids, "cut": cut} for ids, cut in found]

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        prompts = [example["input_ids"] for example in examples]
        most = max_new_tokens or self.longest_generated()
        tokens = generate(model, prompts, tokenizer, most)
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            Answer(text.strip(), cut=example["cut"])
            for text, example in zip(texts, examples, strict=True)
        ]

    def usage(self, base_model: str) -> str:
        return f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

base = AutoModelForCausalLM.from_pretrained({base_model})
model = PeftModel.from_pretrained(base, "final_model")
chat = pipeline("text-generation", model=model,
                tokenizer=AutoTokenizer.from_pretrained("final_model"))
print(chat([{{"role": "user", "content": "A question of your own"}}], max_new_tokens=100))"""


def encode_answers(
    conversations: Sequence[list[Message]],
    tokenizer: Any,
    max_length: int,
    *,
    last: Sequence[int] | None = None,
) -> list[Example]:
    """Token ids of conversations that end with an answer, cut to `max_length`, and their targets.

    Targets are the tokens of the answers and of what closes them; of the `last` answers only, where
    their number is given. `answer_length` counts the tokens left of the last answer.
    """
    rendered = [render(turns, tokenizer) for turns in conversations]
    if not rendered:
        return []
    encoded = tokenizer(
        [text for text, _ in rendered],
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    examples: list[Example] = []
    for number, (_, answers) in enumerate(rendered):
        spans = answers if last is None else answers[-last[number] :]
        ids = encoded["input_ids"][number][:max_length]
        offsets = encoded["offset_mapping"][number][:max_length]
        labels = [
            token if any(start <= a < end for start, end in spans) else IGNORED
            for token, (a, _) in zip(ids, offsets, strict=True)
        ]
        begin = max(start for start, _ in spans)
        in_answer = sum(a >= begin for a, _ in offsets)
        examples.append(
            {
                "input_ids": ids,
                "labels": labels,
                "targets": sum(label != IGNORED for label in labels),
                "prompt_length": len(offsets) - in_answer,
                "whole": len(ids) == len(encoded["input_ids"][number]),
                "answer_length": in_answer,
            }
        )
    return examples
