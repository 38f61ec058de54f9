"""What the tasks that teach a chat model share: its tokenizer, encoded answers, new questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import ConfigDict, Field

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.base import Answer, Columns, Example, Row, Task, TaskOptions
from tunesmith.tasks.chat import CHAT_RULES, Message, parse_question
from tunesmith.tasks.chat_format import ChatFormat, Turn
from tunesmith.tasks.chat_template import Thinking, said_after_thought
from tunesmith.tasks.columns import IGNORED, PLACEHOLDER, asked_columns
from tunesmith.tasks.framing import Framing
from tunesmith.tasks.generation import generate, likeliest
from tunesmith.tasks.places import ModelPlace
from tunesmith.tasks.values import canonical

PROMPTS = ("prompt", "instruction", "question", "input", "query", "text")
"""Usual names of the column with what is asked."""


class ChatOptions(TaskOptions):
    """Options of a task whose adapter is asked as a chat; its schema says so."""

    model_config = ConfigDict(json_schema_extra={"writes_text": True})

    thinking: Thinking = Field(
        "off", description="Thoughts (<think>) before answers: off: neither learned nor shown."
    )
    template_date: date | None = Field(
        None, description="Day that a chat template with today's date writes; null: when submitted."
    )


class ChatTask(Task):
    """A task that teaches a chat model, in the model's own chat format."""

    peft_task_type = "CAUSAL_LM"
    auto_class = "AutoModelForCausalLM"
    fault_rules = CHAT_RULES
    token_rules = ("cut_answers", "control_tokens")
    eval_batch_scale = 8

    options: Any
    """Those of the task, with `prompt_template`, `system_prompt` and `max_new_tokens`."""

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.longest_answer = 0
        """Tokens of the longest answer in the data; `encode` finds it."""
        self._format: tuple[Any, tuple[str, str], ChatFormat] | None = None

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

    def framing(self, columns: Columns) -> Framing:
        template = None if "messages" in columns else self.options.prompt_template
        thinks = True if self.options.thinking == "keep" else None  # off: in the template already
        return Framing(self.options.system_prompt, template, thinks)

    def turns_asked(self, row: Row, columns: Columns) -> list[Message]:
        """The messages by which somebody asks what `row` does, without what `framing` adds."""
        said = self.asked if self.framing(columns).fills else self.prompt
        return [{"role": "user", "content": said(row, columns)}]

    def asked(self, row: Row, columns: Columns) -> str:
        """What tells this row from others, for people: the template's values without its words."""
        if self.options.prompt_template is None or "messages" in columns:
            return self.key(row, columns)
        return "\n".join(canonical(row[name]) for name in self.text_columns(columns))

    def thoughts_alone(self, turns: Sequence[Message]) -> list[int]:
        """Numbers of the answers in `turns` that say nothing once their thought is left out."""
        return [
            number
            for number, turn in enumerate(turns, 1)
            if self.options.thinking == "off"
            and turn["role"] == "assistant"
            and turn["content"].strip()
            and not said_after_thought(turn["content"])
        ]

    def answer_faults(self, turns: Sequence[Message]) -> Iterator[tuple[str, str]]:
        """`thoughts_alone` as faults: (rule, advice), each rule once at most."""
        alone = self.thoughts_alone(turns)
        if alone and alone[0] < len(turns):
            yield "empty_turns", f"turn {alone[0]} is a thought alone: write what it says"
        if len(turns) in alone:
            yield "missing_answers", "the answer is a thought alone: write what it says"

    def require_answers(self, row: Row, turns: Sequence[Message]) -> None:
        """Raises DataError where an answer of `row` would be learned as nothing."""
        where = f"row {row.get('_row', '?')}"
        if not turns[-1]["content"].strip():
            raise DataError(f"{where} has an empty answer: fill it in or remove the row.")
        if self.thoughts_alone(turns):
            raise DataError(
                f"{where} has an answer that is a thought alone: write what it says, or remove "
                "the row."
            )

    @abstractmethod
    def conversations(self, row: Row, columns: Columns) -> Sequence[list[Message]]:
        """The conversations that are learned from `row`."""

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
        chat_format = self.format(tokenizer)
        tokenizer.chat_template = chat_format.template
        chat_format.hide_end()

    def format(self, tokenizer: Any) -> ChatFormat:
        """How `tokenizer`'s model writes chats under this task's options."""
        template = tokenizer.chat_template
        known = self._format
        if known is None or known[0] is not tokenizer or template not in known[1]:
            options = self.options
            found = ChatFormat(tokenizer, options.thinking, options.template_date)
            self._format = known = (tokenizer, (template, found.template), found)
        return known[2]

    def generation_settings(self, tokenizer: Any) -> Any:
        return likeliest(
            self.longest_generated(), self.format(tokenizer).ends, tokenizer.pad_token_id
        )

    def notes(self, tokenizer: Any) -> list[str]:
        found = []
        if not self.format(tokenizer).has_end:
            found.append(
                "the model's chat template has no end token after answers: they are learned with "
                f"{tokenizer.eos_token} as their end"
            )
        if day := self.options.template_date:
            found.append(
                f"the model's chat template writes {day} as today's date, in training and in use"
            )
        return found

    def longest_generated(self) -> int:
        """Most tokens of a generated answer, its end included."""
        return self.options.max_new_tokens or min(self.longest_answer + 2, 512)

    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        per_row = [self.conversations(row, columns) for row in rows]
        conversations = [one for found in per_row for one in found]
        turns = self.format(tokenizer).answers(conversations, [1] * len(conversations))
        lengths = iter([len(one[-1].prompt) + len(one[-1].answer) for one in turns])
        return [max(next(lengths) for _ in found) for found in per_row]

    def control_tokens(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any
    ) -> list[str | None]:
        control = self.format(tokenizer).control
        return [
            next(
                (
                    found
                    for turns in self.conversations(row, columns)
                    for turn in turns
                    if (found := control.first(turn["content"]))
                ),
                None,
            )
            for row in rows
        ]

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        chats = columns.get("messages", "messages")
        if isinstance(given, Mapping) and (asked := {chats, "messages"} & set(given)):
            turns = parse_question(given[min(asked)], f"column {min(asked)!r}")
            fill = self.framing(columns).filled
            turns = [
                {**turn, "content": fill(turn["content"])} if turn["role"] == "user" else turn
                for turn in turns
            ]
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
        chat_format = self.format(tokenizer)
        found = [chat_format.fitted(row["messages"], max_length) for row in rows]
        return [{"input_ids": ids, "cut": cut} for ids, cut in found]

    def generate(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        tokenizer: Any,
        max_new_tokens: int | None = None,
    ) -> list[list[int]]:
        """Tokens of the greedy answers to `prompts`, their ends included."""
        return generate(
            model,
            prompts,
            max_new_tokens=max_new_tokens or self.longest_generated(),
            ends=self.format(tokenizer).ends,
            pad_token_id=tokenizer.pad_token_id,
        )

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        prompts = [example["input_ids"] for example in examples]
        texts = self.format(tokenizer).texts(
            self.generate(model, prompts, tokenizer, max_new_tokens)
        )
        return [
            Answer(text, cut=example["cut"]) for text, example in zip(texts, examples, strict=True)
        ]

    def usage(self, place: ModelPlace) -> str:
        settings = f"base.generation_config = GenerationConfig.from_pretrained({place.folder})"
        names = ["AutoModelForCausalLM", "AutoTokenizer"]
        names += [] if place.base_model is None else ["GenerationConfig"]
        return f"""{place.imports(*names)}

tokenizer = AutoTokenizer.from_pretrained({place.folder})
{place.loading("AutoModelForCausalLM", prepare=settings)}
chat = [{{"role": "user", "content": "A question of your own"}}]
inputs = tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
tokens = model.eval().generate(**inputs, do_sample=False)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(tokens, skip_special_tokens=True).strip())"""


def short_answer(answer: str) -> str:
    """What `answer` says, where it is as short as a label; else nothing."""
    said = said_after_thought(answer)
    return said if len(said) <= 20 else ""


def encode_turns(turns: Sequence[Turn], max_length: int) -> list[Example]:
    """A conversation's answers as examples, cut to `max_length`; with the last answer in the last.

    Answers stand in one example as long as each prompt begins with the prompt and the answer before
    it. A format that rewrites earlier turns gives each answer an example of its own, so that it is
    learned after exactly what it would be asked with.

    An example's targets are the tokens of its answers and their ends. `prompt_length` counts the
    tokens before the last answer, `answer_length` those of the longest answer, `length` all, before
    the cut; `whole` says whether nothing was cut, `lost_ends` and `kept_ends` how many answers lost
    their end, and kept it.
    """
    examples: list[Example] = []
    for chain in _chains(turns):
        ids, labels = list(chain[-1].prompt), [IGNORED] * len(chain[-1].prompt)
        for turn in chain[:-1]:
            begin = len(turn.prompt)
            labels[begin : begin + len(turn.answer)] = turn.answer
        ids += chain[-1].answer
        labels += chain[-1].answer
        ends = [len(turn.prompt) + len(turn.answer) for turn in chain]
        examples.append(
            {
                "input_ids": ids[:max_length],
                "labels": labels[:max_length],
                "targets": sum(label != IGNORED for label in labels[:max_length]),
                "prompt_length": min(len(chain[-1].prompt), max_length),
                "whole": len(ids) <= max_length,
                "answer_length": max(len(turn.answer) for turn in chain),
                "length": len(ids),
                "lost_ends": sum(end > max_length for end in ends),
                "kept_ends": sum(end <= max_length for end in ends),
            }
        )
    return examples


def _chains(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Answers in their order, together as long as each prompt continues what was before it."""
    chain: list[Turn] = []
    for turn in turns:
        if chain:
            before = chain[-1].prompt + chain[-1].answer
            if turn.prompt[: len(before)] != before:
                yield chain
                chain = []
        chain.append(turn)
    yield chain
