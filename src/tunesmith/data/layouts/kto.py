"""KTO: single answers, each with a mark whether it is a good one.

sft learns the good ones; dpo pairs of a good and a bad answer to the same prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, LeftOut
from tunesmith.data.layouts.chats import Anthropic, OpenAI, ShareGPT
from tunesmith.data.layouts.names import ANSWERS, CHATS, QUESTIONS, named
from tunesmith.data.layouts.pairs import Alpaca, QuestionAndAnswer, Swift
from tunesmith.data.layouts.preferences import CHOSEN, REJECTED, Preferences
from tunesmith.data.layouts.turns import PARTS, holds_chats, says_no, says_yes
from tunesmith.data.reading.rows import ROW
from tunesmith.errors import DataError
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.values import canonical

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


class KtoPairs(Layout):
    """A question, an answer, and whether that is a good one; both kinds of a question are a pair.

    Pairs are the first good and the first bad answer, the second ones, and so on.
    """

    name = "kto-pairs"
    label = "KTO, as pairs"
    tasks = ("dpo",)
    optional = frozenset(PARTS)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.tag = str(_tag(self.columns, self.sample) or named(TAGS, self.columns))
        self.answer = str(named(ANSWERS, self.columns))
        rest = [name for name in self.columns if name not in (self.tag, self.answer)]
        sample = [{**row, **dict.fromkeys(_PAIR, row.get(self.answer))} for row in self.sample]
        self.pairs = Preferences([*rest, *_PAIR], sample, *given[2:])
        self.pairs.ignored = self.ignored

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        if named(CHOSEN, columns) or named(REJECTED, columns) or not named(QUESTIONS, columns):
            return False
        return bool(named(ANSWERS, columns)) and _tag(columns, sample) is not None

    def used(self) -> Mapping[str, Message]:
        uses = {name: use for name, use in self.pairs.used().items() if name not in _PAIR}
        answers = say("better answer, or worse answer")
        return {**uses, self.answer: answers, self.tag: say("which answer is better")}

    def types(self) -> Mapping[str, pa.DataType]:
        return self.pairs.types()

    def gathered(self, table: pa.Table) -> pa.Table:
        if not self.recognizes(self.columns, self.sample):
            raise DataError(
                "pairs of KTO need a question, an answer and a mark whether it is good, and the "
                "data have {names}",
                names=self.columns,
            )
        asked = [name for name in self.pairs.used() if name in table.column_names]
        rows = table.select([*asked, self.tag]).to_pylist()
        places = sorted(_paired(rows, asked, self.tag), key=_first)
        count = sum(good is not None and bad is not None for good, bad in places)
        if not count:
            raise DataError(
                "each row is one answer, and {name} says whether it is a good one (KTO), but no "
                "{prompt} has both a good and a bad answer, of which dpo learns: give both for "
                "each, or learn the good ones with task: sft",
                name=self.tag,
                prompt=str(self.pairs.asked),
            )
        self.notes.append(
            say(
                "{n:,} rows of one answer each, read as {m:,} pairs of a good and a bad answer to "
                "the same {prompt}",
                n=table.num_rows,
                m=count,
                prompt=str(self.pairs.asked),
            )
        )
        numbers = table.column(ROW).to_pylist()
        for pair in places:
            of_pair = [numbers[place] for place in pair if place is not None]
            self.together.setdefault(min(of_pair), of_pair)
        answers = table.column(self.answer)
        kept = table.take(pa.array([_first(pair) for pair in places]))
        for name, chosen in zip(_PAIR, zip(*places, strict=True), strict=True):
            kept = kept.append_column(name, answers.take(pa.array(chosen, pa.int64())))
        return kept.drop_columns([self.answer])

    def convert(self, row: Row) -> dict[str, Any]:
        if not (says_no(row[self.tag]) or says_yes(row[self.tag])):
            raise LeftOut("{name} does not say whether the answer is good", name=self.tag)
        if None in (row[name] for name in _PAIR):
            raise LeftOut("there is no other answer to its prompt to make a pair with")
        return self.pairs.convert(row)

    def question(self, row: Row) -> Row:
        return self.pairs.question(
            {name: row[name] for name in row if name not in (self.tag, self.answer)}
        )


_PAIR = ("chosen", "rejected")


def _first(pair: tuple[int | None, int | None]) -> int:
    return min(place for place in pair if place is not None)


def _paired(
    rows: Sequence[Row], asked: Sequence[str], tag: str
) -> Iterator[tuple[int | None, int | None]]:
    """The places of good and bad answers to the same question; None where one has no other."""
    groups: dict[str, tuple[list[int], list[int]]] = {}
    for place, row in enumerate(rows):
        key = canonical([row[name] for name in asked])
        groups.setdefault(key, ([], []))[says_no(row[tag])].append(place)
    for good, bad in groups.values():
        yield from zip_longest(good, bad)


def _tag(columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The column that says of every answer whether it is a good one."""
    for name in filter(None, (named([each], columns) for each in TAGS)):
        given = [row[name] for row in sample if row.get(name) is not None]
        if given and all(says_no(value) or says_yes(value) for value in given):
            return name
    return None
