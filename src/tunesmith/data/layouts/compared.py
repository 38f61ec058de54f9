"""Two answers in columns that bear numbers or letters, and what says which of them is better."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import LeftOut
from tunesmith.data.layouts.names import HISTORIES, named
from tunesmith.data.layouts.preferences import Preferences
from tunesmith.data.layouts.rated import RATINGS, number_in
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.values import canonical

_ENDS = (("0", "1"), ("1", "2"), ("a", "b"))
"""What the names of the two columns end with."""
_ANSWERS = re.compile(
    r"response|answer|completion|output|conversation|summary|reply|human_ref|回答"
)
_VERDICTS = re.compile(r"better|winner|chosen|preferred|preference|choice|best")
"""In the name of a column that says which answer is better."""


class ComparedAnswers(Preferences):
    """A prompt, two answers, and which of them is better, by its number or letter or by scores.

    So are PKU-SafeRLHF (`response_0`, `response_1`, `better_response_id`), Chatbot Arena
    (`conversation_a`, `conversation_b`, `winner`) and SHP (`human_ref_A`, `score_A` …). Rows in
    which neither is better are left out.
    """

    name = "compared-answers"
    label = "Two answers, compared"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked = self.asked or (None if self.chats else named(HISTORIES, self.columns))
        self.history = None if self.asked == self.history else self.history
        self.scores = _scores(self.columns, self.sample)
        self.verdict = _verdict(self.columns, self.sample)
        self.judged = (self.verdict,) if self.verdict else (self.scores or ())
        """The columns that say which is better."""

    def _answers(self) -> tuple[str | None, str | None]:
        return _pair(self.columns, _ANSWERS) or (None, None)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        if _pair(columns, _ANSWERS) is None or super().recognizes(columns, sample):
            return False
        return bool(_verdict(columns, sample) or _scores(columns, sample))

    def used(self) -> Mapping[str, Message]:
        both = dict.fromkeys(map(str, (self.chosen, self.rejected)), say("one of two answers"))
        return {
            **super().used(),
            **both,
            **dict.fromkeys(self.judged, say("which answer is better")),
        }

    def stands(self, table: pa.Table) -> bool:
        return False

    def pair(self, row: Row) -> tuple[Any, Any, Any]:
        # What is asked is the same whichever is better: `question` leaves that out.
        if self.judged and self.judged[0] in row and not self._first_is_better(row):
            first, second = str(self.chosen), str(self.rejected)
            row = {**row, first: row.get(second), second: row.get(first)}
        return super().pair(row)

    def question(self, row: Row) -> Row:
        return super().question({n: value for n, value in row.items() if n not in self.judged})

    def _first_is_better(self, row: Row) -> bool:
        """Raises LeftOut where neither is."""
        if self.verdict is not None:
            chosen = _end(canonical(row.get(self.verdict)), str(self.chosen), str(self.rejected))
            if chosen is None:
                raise LeftOut("neither answer is said to be better")
            return chosen == 0
        first, second = (number_in(row.get(name)) for name in self.judged)
        if first is None or second is None:
            raise LeftOut("not every answer has a rating")
        if first == second:
            raise LeftOut("no answer is rated higher than another")
        return first > second


def _pair(columns: Sequence[str], stem: re.Pattern[str]) -> tuple[str, str] | None:
    """The only two columns whose names differ in their end alone, and match `stem` before it."""
    there = {name.casefold(): name for name in columns}
    found = [
        (there[name], there[name[: -len(one)] + other])
        for name in there
        for one, other in _ENDS
        if name.endswith(one) and name[: -len(one)] + other in there and stem.search(name[:-1])
    ]
    return found[0] if len(found) == 1 else None


def _scores(columns: Sequence[str], sample: Sequence[Row]) -> tuple[str, str] | None:
    """The two columns with a number for each answer; the higher, the better."""
    names = (re.compile(f"^{name}_?$") for name in RATINGS)
    found = next(filter(None, (_pair(columns, name) for name in names)), None)
    numbers = [number_in(row.get(name)) for row in sample for name in found or ()]
    return found if any(number is not None for number in numbers) else None


def _verdict(columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The column that says which answer is better: by the end of its column's name."""
    pair = _pair(columns, _ANSWERS)
    if pair is None:
        return None
    verdicts = (name for name in columns if _VERDICTS.search(name.casefold()) and name not in pair)
    for name in verdicts:
        if any(_end(canonical(row.get(name)), *pair) is not None for row in sample):
            return name
    return None


def _end(value: str, first: str, second: str) -> int | None:
    """0 or 1: which of two columns `value` names, by its name or the end of it; None: neither."""
    said = value.strip().casefold().removesuffix(".0").removeprefix("model_")
    for number, name in enumerate((first.casefold(), second.casefold())):
        if said in (name, name[-1]):
            return number
    return None
