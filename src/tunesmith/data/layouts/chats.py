"""Conversations in a column: OpenAI's messages, Anthropic's beside a system text, ShareGPT's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.layouts.base import Layout, LeftOut, mark_columns, require_learned
from tunesmith.data.layouts.names import CHATS, IN_PARTS, SYSTEMS, known_as, named
from tunesmith.data.layouts.plain_turns import plain_turns
from tunesmith.data.layouts.turns import (
    CONTENT_KEYS,
    PARTS,
    TURN,
    as_list,
    holds_chats,
    is_learned,
    read_turns,
    text_of,
    with_system,
)
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.tasks.chats.messages import ROLES


def chat_column(
    columns: Sequence[str], sample: Sequence[Row], wanted: Collection[str] = ()
) -> str | None:
    """The column with conversations: one of those `wanted`, one with a usual name, the only one."""
    found = [name for name in columns if holds_chats(name, sample)]
    chosen = next((name for name in found if name in wanted), None) or named(CHATS, found)
    others = [name for name in found if name.casefold() not in IN_PARTS]
    return chosen or (others[0] if len(others) == 1 else None)


class _Chats(Layout):
    """A column of conversations, and one with a system text where there is one."""

    tasks = ("sft",)
    optional = frozenset(PARTS)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        found = chat_column(self.columns, self.sample, self.named)
        self.chats = found or named(CHATS, self.columns) or "messages"
        self.gives = known_as("messages", self.chats, self.named)
        self.system = named(SYSTEMS, self.columns)
        self.marks = mark_columns(self.columns, self.sample)

    def used(self) -> Mapping[str, Message]:
        system = {} if self.system is None else {self.system: say("system turn")}
        return {**system, self.chats: say("conversation"), **self.marks}

    def types(self) -> Mapping[str, pa.DataType]:
        return {self.gives: pa.list_(TURN)}

    def stands(self, table: pa.Table) -> bool:
        if self.system in table.column_names or set(self.marks) & set(table.column_names):
            return False
        if self.chats not in table.column_names:
            return True
        return self.gives == self.chats and _stands(table.column(self.chats))

    def column(self, batch: pa.RecordBatch) -> pa.Array | None:
        names = batch.schema.names
        if self.chats not in names or self.system in names or set(self.marks) & set(names):
            return None
        return plain_turns(batch.column(self.chats))

    def convert(self, row: Row) -> dict[str, Any]:
        require_learned(row, self.marks)
        turns = self._turns(row)
        answers = [turn for turn in turns if _is_answer(turn)] if isinstance(turns, list) else []
        if answers and not any(map(is_learned, answers)):
            raise LeftOut("every answer is marked as not to be learned, such as by a weight of 0")
        return {self.gives: turns}

    def question(self, row: Row) -> Row:
        if row.get(self.chats) is None:
            return row
        turns = self._turns(row)
        while isinstance(turns, list) and turns and _is_answer(turns[-1]):
            turns.pop()
        kept = {name: value for name, value in row.items() if name not in self.used()}
        return {**kept, "messages": turns}

    def _turns(self, row: Row) -> Any:
        turns = read_turns(row.get(self.chats), self.chats, self.ignore)
        if self.system is None or not isinstance(turns, list):
            return turns
        return with_system(turns, text_of(row.get(self.system), self.system, self.ignore))


class TextsInTurn(_Chats):
    """Lists of texts: the user's, the assistant's, and so on (UltraChat, LIMA)."""

    name = "texts-in-turn"
    label = "Texts in turn"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        found = _texts_in_turn(self.columns, self.sample)
        self.chats = found or self.chats
        self.gives = known_as("messages", self.chats, self.named)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        return chat_column(columns, sample) is None and bool(_texts_in_turn(columns, sample))

    def stands(self, table: pa.Table) -> bool:
        return False

    def _turns(self, row: Row) -> Any:
        texts = as_list(row.get(self.chats))
        if texts is None or not all(isinstance(text, str) for text in texts):
            return row.get(self.chats)
        roles = cycle(("user", "assistant"))
        turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
        if self.system is None:
            return turns
        return with_system(turns, text_of(row.get(self.system), self.system, self.ignore))


def _texts_in_turn(columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The column with a chat's usual name, or `data`, that holds lists of two texts or more."""
    name = named((*CHATS, "data"), columns)
    given = (row.get(str(name)) for row in sample)
    lists = [as_list(value) or () for value in given if value not in (None, "", [])]
    texts = [each for each in lists if len(each) > 1 and all(isinstance(t, str) for t in each)]
    return name if len(texts) * 2 > len(lists) else None


def _is_answer(turn: Any) -> bool:
    return isinstance(turn, Mapping) and turn.get("role") == "assistant"


def _stands(column: pa.ChunkedArray) -> bool:
    """Whether conversations are lists of {role, content} in our roles, without empty ones of the
    system."""
    kind = column.type
    if not pa.types.is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    parts = {part.name: part.type for part in kind.value_type}
    if parts.keys() != {"role", "content"} or set(parts.values()) != {pa.string()}:
        return False
    turns = pc.list_flatten(column)
    role, content = (pc.struct_field(turns, name) for name in ("role", "content"))
    if not set(pc.unique(role).to_pylist()) <= {*ROLES}:
        return False
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(content)), 0)
    return not pc.any(pc.and_(pc.equal(role, "system"), pc.fill_null(empty, True))).as_py()


def _keys(columns: Sequence[str], sample: Sequence[Row]) -> set[str]:
    """The keys of the turns that the first conversations hold, in small letters."""
    column = chat_column(columns, sample)
    chats = [as_list(row.get(column)) or () for row in sample] if column else []
    turns = [turn for chat in chats for turn in chat if isinstance(turn, Mapping)]
    return {str(key).casefold() for turn in turns for key in turn}


class OpenAI(_Chats):
    """Lists of {role, content}."""

    name = "openai"
    label = "OpenAI"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        keys = _keys(columns, sample)
        return {"role", "content"} <= keys and not Anthropic.recognizes(columns, sample)


class Anthropic(_Chats):
    """Lists of {role, content} beside a system text."""

    name = "anthropic"
    label = "Anthropic"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        with_text = {"role", "content"} <= _keys(columns, sample)
        return with_text and named(SYSTEMS, columns) is not None


class ShareGPT(_Chats):
    """Lists of {from, value}, of {role, text}, {speaker, …}, or of {human, assistant}."""

    name = "sharegpt"
    label = "ShareGPT"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        keys = _keys(columns, sample)
        others = {"from", "speaker", "sender", "human", "user", "input"} | {*CONTENT_KEYS[1:]}
        return bool(keys & others) and not {"role", "content"} <= keys
