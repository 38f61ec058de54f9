"""Conversations written as one text, a turn beginning with its speaker: `Human:`, `### Response:`.

So are Anthropic's HH and Glaive's calls of functions (after an empty line), Guanaco and Alpaca's
filled template (after ###).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, mark_columns, require_learned
from tunesmith.data.layouts.names import ANSWERS, SYSTEMS, named
from tunesmith.data.layouts.turns import PARTS, TURN, with_system
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row

_AFTER_LINE = re.compile(
    r"(?:\A\s*|\n[^\S\n]*\n\s*)(Human|User|Assistant|System|Function Response)\s?[:\uff1a]",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\A\s*SYSTEM\s?:\s*")
_AFTER_MARKS = re.compile(
    r"#{2,3}\s?(Human|User|Assistant|System|Instruction|Input|Response)\s?[:\uff1a]", re.IGNORECASE
)
_ROLES = {
    **dict.fromkeys(("human", "user", "instruction", "input"), "user"),
    **dict.fromkeys(("assistant", "response"), "assistant"),
    "system": "system",
    "function response": "tool",
}
_CALL = "<functioncall>"
"""What Glaive writes before a call of a function."""
_ARGUMENTS = re.compile(r"'(\{.*\})'", re.DOTALL)
"""The call's arguments: JSON in a text that is quoted as JSON has none."""
_ENDS = re.compile(r"(?:\s*(?:<\|endoftext\|>|</s>|<\|im_end\|>|<\|eot_id\|>))+\s*\Z")
"""End tokens of models, which such texts put behind a turn."""


def is_transcript(value: Any) -> bool:
    """Whether `value` is a text that begins with a turn of the user, or of the system."""
    turns = _begins(value)
    return bool(turns) and _ROLES[turns[0][1].casefold()] != "assistant"


def transcript_turns(text: str) -> list[dict[str, Any]]:
    """The turns of a text that `is_transcript`; the last is left out where it only begins.

    What stands before the first is the system's; an input follows its instruction on a new line.
    """
    found = _begins(text)
    turns: list[dict[str, Any]] = []
    if before := text[: found[0].start()].strip():
        turns.append({"role": "system", "content": before})
    ends = [each.start() for each in found[1:]] + [len(text)]
    for each, end in zip(found, ends, strict=True):
        said = _ENDS.sub("", text[each.end() : end]).strip()
        if each[1].casefold() == "input" and turns and turns[-1]["role"] == "user":
            turns[-1]["content"] = "\n".join(filter(None, (turns[-1]["content"], said)))
        else:
            turns.append(_turn(_ROLES[each[1].casefold()], said))
    if turns[-1] == {"role": "assistant", "content": ""}:
        turns.pop()
    return turns


def _turn(role: str, said: str) -> dict[str, Any]:
    if role == "assistant" and said.startswith(_CALL):
        call = _ARGUMENTS.sub(lambda found: json.dumps(found[1]), said.removeprefix(_CALL))
        return {"role": "function_call", "content": call.strip()}
    return {"role": role, "content": said}


def holds_transcripts(column: str, sample: Sequence[Row]) -> bool:
    """Whether most of what `column` holds is transcripts."""
    given = [row[column] for row in sample if row.get(column) is not None]
    return sum(map(is_transcript, given)) * 2 > len(given)


def _begins(value: Any) -> list[re.Match[str]]:
    """Where the turns of a text begin; nowhere where it isn't written so."""
    if not isinstance(value, str):
        return []
    if _AFTER_LINE.match(value):
        return list(_AFTER_LINE.finditer(value))
    marked = list(_AFTER_MARKS.finditer(value))
    if not marked:
        return []
    # A heading further on is no turn, but Alpaca's template begins with a paragraph.
    template = {each[1].casefold() for each in marked} >= {"instruction", "response"}
    return marked if template or not value[: marked[0].start()].strip() else []


class Transcripts(Layout):
    """A column of texts, each a conversation with its speakers in it."""

    name = "transcripts"
    label = "Conversations as texts"
    tasks = ("sft",)
    optional = frozenset(PARTS)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.texts = _column(self.columns, self.sample) or "text"
        self.system = named(SYSTEMS, self.columns)
        self.marks = mark_columns(self.columns, self.sample)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        others = named(ANSWERS, columns)
        return others is None and _column(columns, sample) is not None

    def used(self) -> Mapping[str, Message]:
        system = {} if self.system is None else {self.system: say("system turn")}
        return {**system, self.texts: say("conversation"), **self.marks}

    def types(self) -> Mapping[str, pa.DataType]:
        return {"messages": pa.list_(TURN)}

    def convert(self, row: Row) -> dict[str, Any]:
        require_learned(row, self.marks)
        return {"messages": self._turns(row)}

    def question(self, row: Row) -> Row:
        if row.get(self.texts) is None:
            return row
        turns = self._turns(row)
        while isinstance(turns, list) and turns and turns[-1]["role"] == "assistant":
            turns.pop()
        return {"messages": turns}

    def _turns(self, row: Row) -> Any:
        text = row.get(self.texts)
        if not is_transcript(text):
            return text
        system = row.get(str(self.system))
        if isinstance(system, str):
            system = _SPEAKER.sub("", system)
        return with_system(transcript_turns(str(text)), system)


def _column(columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The only column of texts, most of which are transcripts that an assistant speaks in."""
    found = []
    for name in columns:
        texts = [row[name] for row in sample if is_transcript(row.get(name))]
        turns = (turn for text in texts for turn in transcript_turns(text))
        if holds_transcripts(name, sample) and any(t["role"] == "assistant" for t in turns):
            found.append(name)
    return found[0] if len(found) == 1 else None
