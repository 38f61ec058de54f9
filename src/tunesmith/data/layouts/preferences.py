"""Preference pairs: what is asked, the better and the worse answer, each as text or as turns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, mark_columns, require_learned
from tunesmith.data.layouts.names import CHATS, HISTORIES, INPUTS, QUESTIONS, SYSTEMS, named
from tunesmith.data.layouts.pairs import read_history, said_of
from tunesmith.data.layouts.transcripts import (
    holds_transcripts,
    is_transcript,
    transcript_turns,
)
from tunesmith.data.layouts.turns import (
    PARTS,
    TURN,
    holds_chats,
    looks_like_turns,
    read_turns,
    text_of,
    with_system,
)
from tunesmith.messages import Message, say
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Row
from tunesmith.tasks.chats.messages import common_turns
from tunesmith.values import canonical

CHOSEN = (
    "chosen", "preferred", "better", "chosen_response", "chosen_answer", "preferred_output",
    "較佳回答", "好的回答",
)  # fmt: skip
REJECTED = (
    "rejected", "dispreferred", "worse", "rejected_response", "rejected_answer",
    "non_preferred_output", "較差回答", "不好的回答",
)  # fmt: skip

Turns = list[dict[str, Any]]


class PairLayout(Layout):
    """What every layout of pairs gives: prompt, chosen and rejected; for sft the better answer."""

    optional = frozenset(PARTS)
    tasks: ClassVar[tuple[str, ...]] = ("dpo",)

    has_turns = True
    """Whether there is more than a question and two answers."""
    marks: Mapping[str, Message] = MappingProxyType({})
    """Columns that say whether a row is learned."""
    transcripts: Collection[str] = ()
    """Columns whose texts begin with a speaker, as `Human:`."""

    @property
    def worse(self) -> Message:
        """What the worse answer is used as."""
        dpo = self.task != "sft"
        return say("worse answer") if dpo else say("worse answer, which is not learned")

    @abstractmethod
    def pair(self, row: Row) -> tuple[Any, Any, Any]:
        """What is asked in `row`, the better answer and the worse one: each turns, or whatever
        stands there where it can't be read as such."""

    def types(self) -> Mapping[str, pa.DataType]:
        if self.task == "sft":
            return {"messages": pa.list_(TURN)}
        kind = pa.list_(TURN) if self.has_turns else pa.large_string()
        return dict.fromkeys(("prompt", "chosen", "rejected"), kind)

    def convert(self, row: Row) -> dict[str, Any]:
        prompt, chosen, rejected = self.pair(row)
        if self.task != "sft":
            return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        whole = isinstance(prompt, list) and isinstance(chosen, list)
        return {"messages": [*prompt, *chosen] if whole else chosen}

    def question(self, row: Row) -> Row:
        if not self.used().keys() & row.keys():
            return row
        # Whether it would be learned is not asked.
        asked = self.pair({n: value for n, value in row.items() if n not in self.marks})[0]
        kept = {name: value for name, value in row.items() if name not in self.used()}
        if not isinstance(asked, list):
            asked = [{"role": "user", "content": canonical(asked)}]
        return {**kept, "messages": asked}

    def read(self, value: Any, role: str, place: str) -> Any:
        """The turns in `value`; a text is one of `role`, unless it is a transcript."""
        if looks_like_turns(value):
            return read_turns(value, place, self.ignore)
        said = text_of(value, place, self.ignore)
        if place in self.transcripts and is_transcript(said):
            return transcript_turns(said)
        return [{"role": role, "content": said if said is None else canonical(said).strip()}]


class Preferences(PairLayout):
    """A prompt and two answers in columns, also beside a system text, earlier turns, an input."""

    name = "preferences"
    label = "Preference pairs"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        columns, sample = self.columns, self.sample
        self.chosen, self.rejected = self._answers()
        self.asked = named(QUESTIONS, columns)
        implicit = _begin_with_user(self.chosen, sample)
        chats = None if self.asked or implicit else named(CHATS, columns)
        self.chats = chats if chats and holds_chats(chats, sample) else None
        self.input, self.system = named(INPUTS, columns), named(SYSTEMS, columns)
        self.history = named(HISTORIES, columns)
        self.marks = mark_columns(columns, sample)
        parts = [name for name in (self.asked, self.chosen, self.rejected) if name]
        self.transcripts = {name for name in parts if holds_transcripts(name, sample)}
        self.has_turns = bool(
            self.system or self.history or self.chats or implicit or self.transcripts
            or any(holds_chats(name, sample) for name in parts)
        )  # fmt: skip

    def _answers(self) -> tuple[str | None, str | None]:
        """The columns of both answers, the better one first."""
        return named(CHOSEN, self.columns), named(REJECTED, self.columns)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        if named(CHOSEN, columns) is None or named(REJECTED, columns) is None:
            return False
        chats = named(CHATS, columns)
        return bool(named(QUESTIONS, columns) or (chats and holds_chats(chats, sample)))

    def used(self) -> Mapping[str, Message]:
        uses: dict[str | None, Message] = {
            self.system: say("system turn"),
            self.history: say("earlier turns"),
            self.chats: say("conversation"),
            self.asked: say("question"),
            self.input: say("question"),
            self.chosen: say("better answer"),
            self.rejected: self.worse,
        }
        return {
            **{name: use for name, use in uses.items() if name is not None},
            **self.marks,
        }

    def stands(self, table: pa.Table) -> bool:
        if self.has_turns or self.marks or {self.input} & {*table.column_names}:
            return False
        known = TASKS["dpo"].column_names
        roles = (("prompt", self.asked), ("chosen", self.chosen), ("rejected", self.rejected))
        return all(
            column in table.column_names
            and str(column).casefold() in known[role]
            and table.column(column).type in (pa.string(), pa.large_string())
            for role, column in roles
        )

    def pair(self, row: Row) -> tuple[Any, Any, Any]:
        require_learned(row, self.marks)
        chosen, rejected = row.get(str(self.chosen)), row.get(str(self.rejected))
        if not self.has_turns:
            return self._question(row), chosen, rejected
        better = self.read(chosen, "assistant", str(self.chosen))
        worse = self.read(rejected, "assistant", str(self.rejected))
        if not isinstance(better, list) or not isinstance(worse, list):
            return self._question(row), better, worse
        if _first(better) in ("user", "system") and _first(worse) in ("user", "system"):
            prompt, better, worse = common_turns(better, worse)
        else:
            prompt = self._asked(row)
        if isinstance(prompt, list):
            system = text_of(row.get(str(self.system)), str(self.system), self.ignore)
            prompt = with_system(prompt, system)
        return prompt, better, worse

    def _asked(self, row: Row) -> Any:
        """The turns before the answers; what can't be read as such alone."""
        column = str(self.chats or self.asked)
        history = read_history(row.get(str(self.history)), str(self.history), self.ignore)
        if not isinstance(history, list):
            return history
        given = row.get(column)
        cut = column in self.transcripts and is_transcript(given)
        if not looks_like_turns(given) and not cut:
            return [*history, {"role": "user", "content": self._question(row)}]
        turns = self.read(given, "user", column)
        if extra := said_of(row.get(str(self.input))):
            turns = [*turns, {"role": "user", "content": extra}]
        return [*history, *turns]

    def _question(self, row: Row) -> str:
        """What is asked, and on the next line what it is about."""
        parts = (said_of(row.get(str(name))) for name in (self.asked, self.input))
        return "\n".join(filter(None, parts))


class ImplicitPrompt(Preferences):
    """Two answers that begin with what is asked, as turns or as Human:/Assistant: texts."""

    name = "implicit-prompt"
    label = "Preference pairs with their prompt in both answers"
    tasks = ("dpo", "sft")

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        chosen, rejected = named(CHOSEN, columns), named(REJECTED, columns)
        if chosen is None or rejected is None or Preferences.recognizes(columns, sample):
            return False
        return _begin_with_user(chosen, sample)


class OpenAIPreferences(PairLayout):
    """input.messages, preferred_output and non_preferred_output."""

    name = "openai-preferences"
    label = "OpenAI preferences"
    tasks = ("dpo", "sft")

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        return {"input", "preferred_output", "non_preferred_output"} <= {*columns}

    def types(self) -> Mapping[str, pa.DataType]:
        return {**super().types(), "tools": pa.large_string()}

    def convert(self, row: Row) -> dict[str, Any]:
        tools = _tools(row)
        return {**super().convert(row), "tools": canonical(tools) if tools else None}

    def question(self, row: Row) -> Row:
        tools = _tools(row)
        return {**super().question(row), **({"tools": canonical(tools)} if tools else {})}

    def used(self) -> Mapping[str, Message]:
        return {
            "input": say("question"),
            "preferred_output": say("better answer"),
            "non_preferred_output": self.worse,
            **({"tools": say("tools")} if "tools" in self.columns else {}),
        }

    def pair(self, row: Row) -> tuple[Any, Any, Any]:
        given = row.get("input")
        asked = given
        if isinstance(given, Mapping):
            asked = given.get("messages")
            for key, value in given.items():
                if key not in ("messages", "tools") and value not in (None, [], {}):
                    self.ignore(f"input.{key}")
        return (
            self.read(asked, "user", "input.messages"),
            self.read(row.get("preferred_output"), "assistant", "preferred_output"),
            self.read(row.get("non_preferred_output"), "assistant", "non_preferred_output"),
        )


def _tools(row: Row) -> Any:
    """The tools of a row: of its input, or beside it."""
    given = row.get("input")
    own = given.get("tools") if isinstance(given, Mapping) else None
    return own or row.get("tools")


def _begin_with_user(column: str | None, sample: Sequence[Row]) -> bool:
    """Whether most of what `column` holds begins with what is asked."""
    given = [row[str(column)] for row in sample if row.get(str(column)) is not None]
    return sum(map(_begins, given)) * 2 > len(given)


def _begins(value: Any) -> bool:
    if not looks_like_turns(value):
        return is_transcript(value)
    turns = read_turns(value, "", lambda _: None)
    return isinstance(turns, list) and _first(turns) in ("user", "system")


def _first(turns: Turns) -> Any:
    """The role that speaks first."""
    return turns[0]["role"] if turns else None
