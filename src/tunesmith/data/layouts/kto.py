"""KTO: single answers, each with a mark whether it is a good one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, LeftOut
from tunesmith.data.layouts.chats import Anthropic, OpenAI, ShareGPT
from tunesmith.data.layouts.names import ANSWERS, CHATS, QUESTIONS, named
from tunesmith.data.layouts.pairs import Alpaca, QuestionAndAnswer, Swift
from tunesmith.data.layouts.turns import PARTS, holds_chats, says_no, says_yes
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row

TAGS = ("kto_tag", "label", "desirable", "is_desirable", "thumbs_up", "is_good")
_INNER: tuple[type[Layout], ...] = (Anthropic, OpenAI, ShareGPT, Alpaca, Swift)


class Kto(Layout):
    """A layout of questions and answers, and a column of true and false; the good are learned."""

    name = "kto"
    label = "KTO"
    tasks = ("sft",)
    optional = frozenset(PARTS)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.tag = _tag(self.columns, self.sample) or named(TAGS, self.columns)
        rest = [name for name in self.columns if name != self.tag]
        inner = next((each for each in _INNER if each.recognizes(rest, self.sample)), None)
        self.inner = (inner or QuestionAndAnswer)(rest, *given[1:])
        self.inner.ignored = self.ignored

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        if _tag(columns, sample) is None:
            return False
        chats = named(CHATS, columns)
        if chats and holds_chats(chats, sample):
            return True
        return bool(named(QUESTIONS, columns) and named(ANSWERS, columns))

    def used(self) -> Mapping[str, Message]:
        tag = {} if self.tag is None else {self.tag: say("whether it is learned")}
        return {**self.inner.used(), **tag}

    def types(self) -> Mapping[str, pa.DataType]:
        return self.inner.types()

    def convert(self, row: Row) -> dict[str, Any]:
        mark = row.get(str(self.tag))
        if says_no(mark):
            raise LeftOut(
                "{name} is {value}: a bad answer, which sft does not learn",
                name=self.tag,
                value=mark,
            )
        if not says_yes(mark):
            raise LeftOut("{name} does not say whether the answer is good", name=self.tag)
        return self.inner.convert(row)

    def question(self, row: Row) -> Row:
        return self.inner.question({name: row[name] for name in row if name != self.tag})


def _tag(columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The column that says of every answer whether it is a good one."""
    for name in filter(None, (named([each], columns) for each in TAGS)):
        given = [row[name] for row in sample if row.get(name) is not None]
        if given and all(says_no(value) or says_yes(value) for value in given):
            return name
    return None
