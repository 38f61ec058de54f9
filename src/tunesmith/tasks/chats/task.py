"""What the tasks that teach a chat model share: its tokenizer, encoded answers, new questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import compress
from typing import Any

from pydantic import ConfigDict, Field

from tunesmith.errors import DataError, ModelError
from tunesmith.messages import say
from tunesmith.tasks.base import Columns, Example, Row, Task
from tunesmith.tasks.chats.encoding import fitted
from tunesmith.tasks.chats.format import ChatFormat
from tunesmith.tasks.chats.generation import generate, likeliest, require_generation
from tunesmith.tasks.chats.messages import (
    CHAT_RULES,
    PARTS,
    Message,
    parse_question,
    says_nothing,
    tools_of,
    with_tools,
    wrong_order,
)
from tunesmith.tasks.chats.template import Thinking, said_after_thought
from tunesmith.tasks.chats.tools import Tool, as_json, looks_like_tools, parse_tools
from tunesmith.tasks.options import TaskOptions, column
from tunesmith.tasks.parts.columns import (
    PLACEHOLDER,
    Wanted,
    asked_columns,
    choose_columns,
)
from tunesmith.tasks.parts.texts import require_padding
from tunesmith.tasks.results import Answer, Unwritten
from tunesmith.tasks.tokens.framing import Framing
from tunesmith.tasks.tokens.places import ModelPlace
from tunesmith.values import canonical

PROMPTS = ("prompt", "instruction", "question", "input", "query", "text", "指令", "問題", "问题",
           "提問", "提问", "提示", "輸入", "输入")  # fmt: skip
"""Usual names of the column with what is asked."""
ANSWERS = (
    "completion", "response", "answer", "output", "chosen", "label", "category", "target",
    "回答", "答案", "回覆", "回复", "輸出", "输出", "回應", "回应", "答覆", "答复",
)  # fmt: skip
"""Usual names of the column with the answer to learn."""
CHATS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "對話", "对话")
"""Usual names of the column with conversations."""
TELLING = frozenset((*CHATS, *ANSWERS[:3], "prompt", "指令", "回答", "答案", "回覆", "回复"))
"""Names by which data with chats or answers are known."""

TOOLS = ("tools", "functions", "available_tools")
"""Usual names of the column with tools."""


class ChatOptions(TaskOptions):
    """Options of a task whose adapter is asked as a chat; its schema says so."""

    model_config = ConfigDict(json_schema_extra={"writes_text": True})

    thinking: Thinking = Field(
        "off", description="Thoughts (<think>) before answers: off: neither learned nor shown."
    )
    template_date: date | None = Field(
        None, description="Day that a chat template with today's date writes; null: when submitted."
    )
    prompt_template: str | None = Field(
        None, pattern=PLACEHOLDER.pattern, description="User's turn; {column}: that column's value."
    )
    system_prompt: str | None = Field(
        None, description="System turn put before conversations that have none."
    )
    tools_column: str | None = column(
        "Column with the tools that a conversation may call: a list of JSON schemas."
    )
    max_new_tokens: int | None = Field(
        None, ge=1, description="Longest generated answer in tokens; null: the longest in the data."
    )


class ChatTask(Task):
    """A task that teaches a chat model, in the model's own chat format."""

    peft_task_type = "CAUSAL_LM"
    auto_class = "AutoModelForCausalLM"
    pipeline_tag = "text-generation"
    fault_rules = CHAT_RULES
    token_rules = (
        "cut_answers",
        "control_tokens",
        "unwritten_tools",
        "refused_chats",
        "unknown_tokens",
    )
    eval_batch_scale = 8
    writes_text = True

    options: ChatOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.longest_answer = 0
        """Tokens of the longest answer in the data; `encode` finds it."""
        self._format: tuple[Any, tuple[str, str], ChatFormat] | None = None

    # -- the data ---------------------------------------------------------------------------

    def with_tools(
        self, columns: Columns, available: Sequence[str], sample: Sequence[Row]
    ) -> Columns:
        """`columns`, and first that of the tools, where one is named or plainly holds some."""
        wanted = Wanted("tools", TOOLS)
        if self.options.tools_column is not None:
            return {**choose_columns(self.options, [wanted], available, []), **columns}
        named = (name for name in available if name.casefold() in TOOLS)
        for name in named:
            if any(looks_like_tools(row.get(name)) for row in sample):
                return {"tools": name, **columns}
        return columns

    def tools(self, row: Row) -> list[Tool]:
        """What may be called in `row`. Raises DataError where that can't be read."""
        return parse_tools(row.get(self.columns["tools"])) if "tools" in self.columns else []

    def tool_faults(self, row: Row) -> Iterator[tuple[str, str]]:
        """What is wrong with the tools of `row`, as (rule, advice)."""
        try:
            self.tools(row)
        except DataError as error:
            yield "wrong_tools", say("{name}: {error}", name=self.columns["tools"], error=error)

    def with_system(self, turns: list[Message]) -> list[Message]:
        """`turns`, after the system prompt of the options where they have none."""
        if self.options.system_prompt and turns[0]["role"] != "system":
            return [{"role": "system", "content": self.options.system_prompt}, *turns]
        return turns

    def prompt(self, row: Row) -> str:
        """What the user says in `row`: the prompt's column, or the template filled in."""
        template = self.options.prompt_template
        if template is None:
            return canonical(row[self.columns.get("prompt", "prompt")])
        return PLACEHOLDER.sub(lambda found: canonical(row[found[1]]), template)

    def framing(self) -> Framing:
        template = None if "messages" in self.columns else self.options.prompt_template
        thinks = True if self.options.thinking == "keep" else None  # off: in the template already
        return Framing(self.options.system_prompt, template, thinks)

    def turns_asked(self, row: Row) -> list[Message]:
        """The messages by which somebody asks what `row` does, without what `framing` adds."""
        said = self.asked if self.framing().fills else self.prompt
        return with_tools([{"role": "user", "content": said(row)}], self.tools(row))

    def asked(self, row: Row) -> str:
        """What tells this row from others, for people: the template's values without its words."""
        if self.options.prompt_template is None or "messages" in self.columns:
            return self.key(row)
        return "\n".join(canonical(row[name]) for name in self.text_columns())

    def thoughts_alone(self, turns: Sequence[Message]) -> list[int]:
        """Numbers of the answers in `turns` that say nothing once their thought is left out."""
        return [
            number
            for number, turn in enumerate(turns, 1)
            if self.options.thinking == "off"
            and turn["role"] == "assistant"
            and turn["content"].strip()
            and not turn.get("tool_calls")
            and not said_after_thought(turn["content"])
        ]

    def answer_faults(self, turns: Sequence[Message]) -> Iterator[tuple[str, str]]:
        """`thoughts_alone` as faults: (rule, advice), each rule once at most."""
        alone = self.thoughts_alone(turns)
        if alone and alone[0] < len(turns):
            yield "empty_turns", say("turn {n} is a thought alone: write what it says", n=alone[0])
        if len(turns) in alone:
            yield "missing_answers", say("the answer is a thought alone: write what it says")

    def require_answers(self, row: Row, turns: Sequence[Message]) -> None:
        """Raises DataError where an answer of `row` would be learned as nothing."""
        where = say("row {n}", n=row.get("_row", "?"))
        if says_nothing(turns[-1]):
            raise DataError(
                "{where} has an empty answer: fill it in or remove the row.", where=where
            )
        if self.thoughts_alone(turns):
            raise DataError(
                "{where} has an answer that is a thought alone: write what it says, or "
                "remove the row.",
                where=where,
            )

    @abstractmethod
    def conversations(self, row: Row) -> Sequence[list[Message]]:
        """The conversations that are learned from `row`."""

    def facts(self) -> dict[str, Any]:
        return {"longest_answer": self.longest_answer}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.longest_answer = int(facts["longest_answer"])

    # -- the model --------------------------------------------------------------------------

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                "the base model has no chat template, so it is not a chat model: choose "
                "its instruct or chat variant as model.name."
            )
        require_padding(tokenizer)
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

    def require_model(self, model: Any, tokenizer: Any) -> None:
        require_generation(model, int(tokenizer.pad_token_id))

    def notes(self, tokenizer: Any) -> Iterator[str]:
        if not self.format(tokenizer).has_end:
            yield say(
                "the model's chat template has no end token after answers: they are "
                "learned with {token} as their end",
                token=tokenizer.eos_token,
            )
        if day := self.options.template_date:
            yield say(
                "the model's chat template writes {day} as today's date, in training and in use",
                day=day,
            )
        use = self.format(tokenizer).tool_use
        if use.tools and use.form is None:
            yield say(
                "the model's chat template offers tools, but writes calls in no form that is known "
                "here: in answers they stand as text"
            )

    def longest_generated(self) -> int:
        """Most tokens of a generated answer, its end included."""
        return self.options.max_new_tokens or min(self.longest_answer + 2, 512)

    def token_counts(self, rows: Sequence[Row], tokenizer: Any) -> list[int]:
        per_row = [self.conversations(row) for row in rows]
        conversations = [one for found in per_row for one in found]
        chat_format = self.format(tokenizer)
        written = [chat_format.unwritten(one) is None for one in conversations]
        asked = list(compress(conversations, written))
        # A template may refuse what stands before an earlier answer, where roles don't take turns.
        last = [len(turns) if wrong_order(turns) else 1 for turns in asked]
        turns = iter(chat_format.answers(asked, last))
        lengths = iter([next(turns)[-1].length if one else 0 for one in written])
        return [max(next(lengths) for _ in found) for found in per_row]

    def control_tokens(self, rows: Sequence[Row], tokenizer: Any) -> list[str | None]:
        control = self.format(tokenizer).control

        def first(row: Row) -> str | None:
            turns = [turn for turns in self.conversations(row) for turn in turns]
            contents = [turn["content"] for turn in turns]
            contents += [as_json(turn[name]) for name in PARTS for turn in turns if name in turn]
            return next(filter(None, map(control.first, contents)), None)

        return list(map(first, rows))

    def unwritten(self, rows: Sequence[Row], tokenizer: Any) -> list[Unwritten | None]:
        chat_format = self.format(tokenizer)

        def found(row: Row) -> Unwritten | None:
            conversations = self.conversations(row)
            if lost := next(filter(None, map(chat_format.unwritten, conversations)), None):
                return Unwritten(lost)
            partly = next(filter(None, map(chat_format.left_out, conversations)), None)
            return None if partly is None else Unwritten(partly, partly=True)

        return list(map(found, rows))

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any]) -> Row:
        chats = self.columns.get("messages", "messages")
        tools: list[Tool] = []
        if isinstance(given, Mapping):
            offered = {self.columns.get("tools", "tools"), "tools"} & set(given)
            tools = parse_tools(given[min(offered)]) if offered else []
        if isinstance(given, Mapping) and (asked := {chats, "messages"} & set(given)):
            turns = parse_question(given[min(asked)], say("column {asked}", asked=repr(min(asked))))
            tools = tools or tools_of(turns)
            fill = self.framing().filled
            turns = [
                {**turn, "content": fill(turn["content"])} if turn["role"] == "user" else turn
                for turn in turns
            ]
        elif "messages" in self.columns:
            turns = [{"role": "user", "content": asked_columns(given, ["messages"])["messages"]}]
        else:
            template = self.options.prompt_template
            prompt = self.columns.get("prompt", "prompt")
            row = asked_columns(given, [prompt] if template is None else self.text_columns())
            turns = [{"role": "user", "content": self.prompt(row)}]
        return {"messages": with_tools(self.with_system(turns), tools)}

    def question_length(
        self, trained: int, longest: int | None, max_new_tokens: int | None = None
    ) -> int:
        longest = longest or max(trained, 2048)  # a chat may be longer than those learned from
        most = max_new_tokens or self.longest_generated()
        if most > longest - 4:
            raise DataError(
                "an answer of {n:,} tokens leaves no room for the question: the model "
                "takes {most:,} in all; lower max_new_tokens.",
                n=most,
                most=longest,
            )
        return longest - most

    def encode_questions(
        self, rows: Sequence[Row], tokenizer: Any, max_length: int
    ) -> list[Example]:
        chat_format = self.format(tokenizer)
        for row in rows:
            if lost := chat_format.unwritten(row["messages"]):
                raise DataError("{lost}.", lost=lost)
        found = [fitted(chat_format, row["messages"], max_length) for row in rows]
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

    def answers(
        self, model: Any, examples: Sequence[Example], tokenizer: Any, max_new_tokens: int | None
    ) -> list[Answer]:
        prompts = [example["input_ids"] for example in examples]
        tokens = self.generate(model, prompts, tokenizer, max_new_tokens)
        return [Answer(text) for text in self.format(tokenizer).texts(tokens)]

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
