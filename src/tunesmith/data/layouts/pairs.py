"""A question and its answer in columns, beside a system text, earlier turns and an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, mark_columns, require_learned
from tunesmith.data.layouts.names import (
    ANSWERS,
    CHATS,
    HISTORIES,
    INPUTS,
    INSTRUCTIONS,
    QUESTIONS,
    SYSTEMS,
    known_as,
    named,
)
from tunesmith.data.layouts.transcripts import holds_transcripts, is_transcript, transcript_turns
from tunesmith.data.layouts.turns import (
    PARTS,
    TURN,
    Ignore,
    as_list,
    holds_chats,
    looks_like_turns,
    read_turns,
    text_of,
    with_system,
)
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.values import canonical

NO_INPUT = "<noinput>"
"""What Self-Instruct writes where there is none."""


class _Pairs(Layout):
    """Columns by their usual names; an answer is learned after all that comes before it."""

    tasks = ("sft",)
    optional = frozenset(PARTS)
    questions: Sequence[str] = QUESTIONS

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        columns = self.columns
        self.asked, self.answer = named(self.questions, columns), named(ANSWERS, columns)
        self.input, self.system = named(INPUTS, columns), named(SYSTEMS, columns)
        self.history = named(HISTORIES, columns)
        self.marks = mark_columns(columns, self.sample)
        ends = [name for name in (self.asked, self.answer) if name]
        self.has_transcripts = self.asked is not None and holds_transcripts(self.asked, self.sample)
        """Whether what is asked is texts that begin with a speaker, as `Human:`."""
        self.has_turns = bool(
            self.system
            or self.history
            or self.has_transcripts
            or any(holds_chats(name, self.sample) for name in ends)
        )
        """Whether there is more than a question and its answer."""

    def used(self) -> Mapping[str, Message]:
        uses: dict[str | None, Message] = {
            self.system: say("system turn"),
            self.history: say("earlier turns"),
            self.asked: say("question"),
            self.input: say("question"),
            self.answer: say("answer"),
        }
        return {
            **{name: use for name, use in uses.items() if name is not None},
            **self.marks,
        }

    @property
    def _gives(self) -> tuple[str, str]:
        """The columns of question and answer afterwards: as they are, where the task knows them."""
        return (
            known_as("prompt", str(self.asked), self.named),
            known_as("completion", str(self.answer), self.named),
        )

    def types(self) -> Mapping[str, pa.DataType]:
        if self.has_turns:
            return {"messages": pa.list_(TURN)}
        return dict.fromkeys(self._gives, pa.large_string())

    def stands(self, table: pa.Table) -> bool:
        more = {self.input, *self.marks} & {*table.column_names}
        return not (self.has_turns or more) and self._gives == (self.asked, self.answer)

    def convert(self, row: Row) -> dict[str, Any]:
        require_learned(row, self.marks)
        if not self.has_turns:
            asked, answer = self._gives
            return {asked: self._question(row), answer: row.get(str(self.answer))}
        said = row.get(str(self.answer))
        answers = self._read(said, "assistant", str(self.answer))
        turns = self._before(row)
        whole = isinstance(turns, list) and isinstance(answers, list)
        return {"messages": [*turns, *answers] if whole else turns}

    def question(self, row: Row) -> Row:
        if self.asked is None:
            return row
        kept = {name: value for name, value in row.items() if name not in self.used()}
        return {**kept, "messages": self._before(row)}

    def _before(self, row: Row) -> Any:
        """The turns before the answer; what can't be read as such alone."""
        asked = str(self.asked)
        history = read_history(row.get(str(self.history)), str(self.history), self.ignore)
        if not isinstance(history, list):
            return history
        cut = self.has_transcripts and is_transcript(row.get(asked))
        if cut or looks_like_turns(row.get(asked)):
            turns = transcript_turns(row[asked]) if cut else self._read(row[asked], "user", asked)
            if not isinstance(turns, list):
                return turns
            if extra := said_of(row.get(str(self.input))):
                turns = [*turns, {"role": "user", "content": extra}]
        else:
            turns = [{"role": "user", "content": self._question(row)}]
        system = text_of(row.get(str(self.system)), str(self.system), self.ignore)
        return with_system([*history, *turns], system)

    def _read(self, value: Any, role: str, column: str) -> Any:
        """The turns in `value`; a text is one of `role`."""
        if looks_like_turns(value):
            return read_turns(value, column, self.ignore)
        said = text_of(value, column, self.ignore)
        written = said if said is None else canonical(said)
        if written is not None and self.has_transcripts:
            written = written.strip()  # behind `Assistant:` stands a space
        return [{"role": role, "content": written}]

    def _question(self, row: Row) -> str:
        """The instruction, and on the next line what it is about."""
        parts = (said_of(row.get(str(name))) for name in (self.asked, self.input))
        return "\n".join(filter(None, parts))


def said_of(value: Any) -> str:
    """What a column says, as text; nothing where it says that there is nothing."""
    text = canonical(value)
    return "" if text.strip().casefold() == NO_INPUT or not text.strip() else text


def read_history(value: Any, column: str, ignore: Ignore) -> Any:
    """Earlier turns: pairs of question and answer, turns, or texts in turn; else `value` itself."""
    if canonical(value).strip() in ("", "[]", "null", "None"):
        return []
    given = as_list(value)
    if given is None:
        return value
    if looks_like_turns(given):
        return read_turns(given, column, ignore)
    if given and all(isinstance(each, str) for each in given):
        given = [given[n : n + 2] for n in range(0, len(given), 2)]
    turns = []
    for pair in given:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return canonical(value)
        turns += [
            {"role": role, "content": said if said is None else canonical(said)}
            for role, said in zip(("user", "assistant"), pair, strict=True)
        ]
    return [turn for turn in turns if turn["content"] is not None]


def _is_chat(columns: Sequence[str], sample: Sequence[Row]) -> bool:
    column = named(CHATS, columns)
    return column is not None and holds_chats(column, sample)


class Alpaca(_Pairs):
    """instruction, input, output; system and history where they are there."""

    name = "alpaca"
    label = "Alpaca"
    questions = INSTRUCTIONS

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        both = named(INSTRUCTIONS, columns) and named(ANSWERS, columns)
        return bool(both) and not _is_chat(columns, sample)


class Swift(_Pairs):
    """query, response; system and history where they are there."""

    name = "swift"
    label = "ms-swift"
    questions = ("query",)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        both = {"query", "response"} <= {*columns}
        return both and not Alpaca.recognizes(columns, sample) and not _is_chat(columns, sample)


class QuestionAndAnswer(_Pairs):
    """A question and its answer under other names, also as lists of turns (TRL)."""

    name = "pairs"
    label = "Question and answer"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        asked, answer = named(QUESTIONS, columns), named(ANSWERS, columns)
        others = Alpaca.recognizes(columns, sample) or Swift.recognizes(columns, sample)
        if not asked or not answer or others or _is_chat(columns, sample):
            return False
        return not cls(columns, sample, "sft").stands(pa.table({name: [] for name in columns}))
