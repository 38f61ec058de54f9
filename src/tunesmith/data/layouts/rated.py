"""Several answers to a prompt, rated, or with what says which is better: two make a pair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.base import LeftOut, mark_columns, require_learned
from tunesmith.data.layouts.names import HISTORIES, INPUTS, QUESTIONS, SYSTEMS, named
from tunesmith.data.layouts.pairs import said_of
from tunesmith.data.layouts.preferences import PairLayout, Preferences
from tunesmith.data.layouts.transcripts import holds_transcripts
from tunesmith.data.layouts.turns import as_list, text_of, with_system
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.values import canonical

LISTS = (
    "completions", "responses", "generations", "answers", "candidates", "outputs", "output",
)  # fmt: skip
RATINGS = ("ratings", "scores", "rewards", "rating", "score")
"""A column with a number for each answer; the higher, the better."""
RANKS = ("ranks", "ranking", "rank")
"""The same, the lower the better."""
_TEXTS = ("response", "completion", "text", "content", "answer", "output")
_GRADES = ("fine-grained_score", "rating", "score", "reward", "overall_score")
"""Keys of an answer with its rating. UltraFeedback's overall_score is the last: some of them are
ten times what was meant (https://huggingface.co/datasets/argilla/ultrafeedback-binarized-curation)
"""
_RANK = "rank"
"""The key of an answer with its rank; the lower, the better (Nectar)."""


class RatedAnswers(PairLayout):
    """A prompt, and a list of answers with ratings or ranks, or of two with the better one first.

    So are UltraFeedback (`completions`), Nectar (`answers`), distilabel (`generations`, `ratings`)
    and the lists of LLaMA-Factory (`output`).
    """

    name = "rated-answers"
    label = "Rated answers"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        columns = self.columns
        self.asked, self.answers = named(QUESTIONS, columns), named(LISTS, columns)
        self.input, self.system = named(INPUTS, columns), named(SYSTEMS, columns)
        self.ratings = _numbers(RATINGS, columns, self.sample)
        self.ranks = None if self.ratings else _numbers(RANKS, columns, self.sample)
        self.marks = mark_columns(columns, self.sample)
        if self.asked and holds_transcripts(self.asked, self.sample):
            self.transcripts = {self.asked}

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        if named(QUESTIONS, columns) is None or (answers := named(LISTS, columns)) is None:
            return False
        lists = [as_list(row.get(answers)) for row in sample if row.get(answers) is not None]
        rated = _numbers((*RATINGS, *RANKS), columns, sample) is not None
        return bool(lists) and all(map(_are_rated if not rated else _are_answers, lists))

    def used(self) -> Mapping[str, Message]:
        uses: dict[str | None, Message] = {
            self.system: say("system turn"),
            self.asked: say("question"),
            self.input: say("question"),
            self.answers: self._chosen,
            self.ratings: say("rating"),
            self.ranks: say("rank"),
        }
        return {
            **{name: use for name, use in uses.items() if name is not None},
            **self.marks,
        }

    @property
    def _chosen(self) -> Message:
        """What the answers are used as."""
        lists = (as_list(row.get(str(self.answers))) or [] for row in self.sample)
        graded = any(_grade(answer) is not None for each in lists for answer in each)
        if self.ratings or self.ranks or graded:
            return say("best answer and worst answer")
        return say("better answer, then the worse one")

    def pair(self, row: Row) -> tuple[Any, Any, Any]:
        require_learned(row, self.marks)
        parts = (said_of(row.get(str(name))) for name in (self.asked, self.input))
        prompt = self.read("\n".join(filter(None, parts)), "user", str(self.asked))
        system = text_of(row.get(str(self.system)), str(self.system), self.ignore)
        prompt = with_system(prompt, system)
        answers = as_list(row.get(str(self.answers)))
        if not answers:
            return prompt, None, None
        for answer in answers:
            self._note_keys(answer)
        better, worse = self._best_and_worst(row, answers)
        return (
            prompt,
            self.read(_text(better), "assistant", str(self.answers)),
            self.read(_text(worse), "assistant", str(self.answers)),
        )

    def question(self, row: Row) -> Row:
        # Which answer is the best is not asked.
        return super().question({n: value for n, value in row.items() if n != self.answers})

    def _note_keys(self, answer: Any) -> None:
        """Name what stands in an answer and is neither its text nor its rating."""
        for key, value in answer.items() if isinstance(answer, Mapping) else ():
            if (
                value is not None
                and value is not _text(answer)
                and key not in (*_GRADES, _RANK, "annotations")
            ):
                self.ignore(f"{self.answers}[].{key}")

    def _best_and_worst(self, row: Row, answers: Sequence[Any]) -> tuple[Any, Any]:
        """Of `answers`, the first best and the last worst. Raises LeftOut where none is better."""
        given = as_list(row.get(str(self.ratings or self.ranks)))
        if given is None:
            given = [_grade(answer) for answer in answers]
        grades = [number_in(grade) for grade in given]
        if len(grades) != len(answers) or None in grades:
            rated = self.ratings or self.ranks or any(grade is not None for grade in given)
            if len(answers) == 2 and not rated:
                return answers[0], answers[1]
            raise LeftOut("not every answer has a rating")
        sign = -1 if self.ranks else 1
        ordered = [(sign * float(grade or 0), -n) for n, grade in enumerate(grades)]
        best, worst = max(ordered), min(ordered)
        if best[0] == worst[0]:
            raise LeftOut("no answer is rated higher than another")
        return answers[-best[1]], answers[-worst[1]]


def _numbers(names: Sequence[str], columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The column of those names in which most values are lists of numbers."""
    for name in filter(None, (named([each], columns) for each in names)):
        lists = [as_list(row.get(name)) or [] for row in sample if row.get(name) is not None]
        rated = [each for each in lists if any(number_in(grade) is not None for grade in each)]
        if len(rated) * 2 > len(lists):
            return name
    return None


def _are_answers(answers: Any) -> bool:
    return isinstance(answers, list) and all(isinstance(_text(each), str) for each in answers)


def _are_rated(answers: Any) -> bool:
    """Whether it is a list of answers with their ratings, or of two texts."""
    if not _are_answers(answers):
        return False
    pair = len(answers) == 2 and all(isinstance(each, str) for each in answers)
    return pair or any(_grade(each) is not None for each in answers)


def _text(answer: Any) -> Any:
    """What an answer says: itself, or the text of its object."""
    if not isinstance(answer, Mapping):
        return answer
    return next((answer[key] for key in _TEXTS if answer.get(key) is not None), None)


def _grade(answer: Any) -> Any:
    """The rating of an answer: its own, or the mean of those by several annotators or aspects."""
    if not isinstance(answer, Mapping):
        return None
    own = next((answer[key] for key in _GRADES if number_in(answer.get(key)) is not None), None)
    if own is None and (rank := number_in(answer.get(_RANK))) is not None:
        return -rank
    aspects = answer.get("annotations")
    if own is not None or not isinstance(aspects, Mapping):
        return own
    given = [
        number_in(each.get("Rating")) for each in aspects.values() if isinstance(each, Mapping)
    ]
    known = [grade for grade in given if grade is not None]
    return sum(known) / len(known) if known else None


def number_in(value: Any) -> float | None:
    """The finite number in `value`, also as text; None where it holds none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


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
