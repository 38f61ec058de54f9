"""Rows whose words, or places in their text, have tags: how they are found and read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tunesmith.errors import ConfigError, DataError, Problem
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Columns, Row, Task
from tunesmith.tasks.forms import AnswerForm
from tunesmith.tasks.parts.columns import Wanted, choose_columns
from tunesmith.tasks.parts.entities import (
    Place,
    Tagged,
    inexact,
    joined,
    runs,
    span_fault,
    tag_fault,
    tags_of,
    words_of,
)
from tunesmith.tasks.parts.offsets import PLAIN, Offsets, Votes
from tunesmith.tasks.parts.spans import Span, placed, read_list, read_span, read_spans, read_words
from tunesmith.tasks.parts.tags import (
    OUTSIDE,
    UNTAGGED,
    Pairs,
    Scheme,
    count_pairs,
    is_untagged,
    label_tags,
    named,
    scheme_of,
)
from tunesmith.tasks.parts.tags import (
    PLAIN as IOB2,
)
from tunesmith.tasks.parts.texts import TEXT_NAMES
from tunesmith.values import canonical

SHOWN = 3
"""Tags that a note names."""


class TaggedTask(Task):
    """A task whose rows are a list of words with a tag for each, or a text with spans."""

    column_names = MappingProxyType({
        "tokens": ("tokens", "words", "tokenized_text", "word"),
        "text": TEXT_NAMES,
        "spans": ("spans", "entities", "ents", "label", "labels", "annotations"),
        "tags": ("ner_tags", "ner", "tags", "labels", "label", "tag", "bio_tags", "iob_tags"),
    })  # fmt: skip
    telling_columns = frozenset({"ner_tags", "spans", "entities"})
    fault_rules = ("missing_labels", "unknown_labels", "broken_tags", "inexact_spans")
    points_into_text = True

    options: Any
    """With `labels`, and the columns of `column_names`."""

    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options, names = self.options, self.column_names
        there = {name.casefold(): name for name in available}
        words = [there[name] for name in names["tokens"] if name in there]
        listed = any(_holds_words(sample, name) for name in words)
        text = any(name in there for name in names["text"])
        if options.tokens_column or (options.tags_column and not options.text_column):
            listed = True
        elif options.text_column or options.spans_column or (text and not listed):
            listed = False
        else:
            listed = listed or not words or not text
        if listed:
            wanted = [Wanted("tokens", names["tokens"]), Wanted("tags", names["tags"])]
            return choose_columns(options, wanted, available, sample)
        if options.tags_column and not options.spans_column:
            options = options.model_copy(update={"spans_column": options.tags_column})
        usual = dict.fromkeys((*names["spans"], *names["tags"]))
        marks = tuple(name for name in usual if name in there and _holds_marks(sample, there[name]))
        wanted = [
            Wanted("text", names["text"], holds=str),
            Wanted("spans", marks or names["spans"]),
        ]
        return choose_columns(options, wanted, available, sample)

    def text_columns(self) -> list[str]:
        return [self.columns.get("tokens") or self.columns["text"]]

    def answer_columns(self) -> list[str]:
        return [self.columns.get("tags") or self.columns["spans"]]

    def key(self, row: Row) -> str:
        if "text" in self.columns:
            return str(row[self.columns["text"]] or "")
        return " ".join(map(str, read_words(row[self.columns["tokens"]]) or ()))

    @cached_property
    def wanted_tags(self) -> list[str]:
        """The tags that `task.labels` allow; none where it allows all."""
        return label_tags(self.options.labels or ())

    def form(self, rows: Iterable[Row]) -> Form:
        """Find out how the answers of all `rows` are written.

        Raises ConfigError where tags are numbers that nothing names.
        """
        return form_of(self, rows)

    def faults(self, row: Row) -> Iterator[tuple[str, str]]:
        given = row[self.answer_columns()[0]]
        answers = read_list(given)
        if answers is None:
            yield "missing_labels", say("must be a list; got {value}", value=str(given)[:80])
            return
        text = self.key(row)
        tags: Sequence[str] = []
        fault: str | None
        if "spans" in self.columns:
            fault = _span_fault(text, answers)
            if not fault and self.wanted_tags:
                tags = tags_of(text, answers).tags
        else:
            words = read_words(row[self.columns["tokens"]]) or []
            tags = [self.tag_name(answer) for answer in answers]
            fault = _too_few(tags, words) or tag_fault(tags)
            if tags and all(tag == UNTAGGED for tag in tags):
                yield "missing_labels", say("no word of the row has a tag: give one of them one")
                return
        if fault:
            yield "broken_tags", fault
            return
        if self.wanted_tags and (strange := sorted(set(tags) - {UNTAGGED, *self.wanted_tags})):
            known = ", ".join(self.options.labels)
            advice = say("{value} is not in task.labels: {names}", value=strange[0], names=known)
            yield "unknown_labels", advice
        if "spans" in self.columns and (cut := inexact(text, answers)):
            yield "inexact_spans", cut

    def tag_name(self, value: Any) -> Any:
        """A tag by its name, also where it is given as its number in `task.labels`."""
        names = self.options.labels or ()
        number = canonical(value)
        if is_untagged(value):
            return UNTAGGED
        if number.isdecimal() and number not in names and len(number) < 9:
            return names[int(number)] if int(number) < len(names) else value
        return value

    def tagged(self, row: Row) -> Tagged:
        """The row's text as words with their tags. Raises DataError where it has a fault."""
        for rule, advice in self.faults(row):
            if rule != "inexact_spans":
                raise DataError("row {row}: {advice}", row=row.get("_row", "?"), advice=advice)
        answers = read_list(row[self.answer_columns()[0]]) or []
        if "spans" in self.columns:
            return tags_of(self.key(row), answers)
        text, words = joined([str(word) for word in read_words(row[self.columns["tokens"]]) or ()])
        return Tagged(text, words, [self.tag_name(answer) for answer in answers])


@dataclass(frozen=True)
class Form(AnswerForm):
    """How the answers of all rows of a dataset are written."""

    task: TaggedTask
    scheme: Scheme = IOB2
    offsets: Offsets = PLAIN
    is_numbered: bool = False
    """Whether tags are numbers in `task.labels`."""
    notes: tuple[Message, ...] = ()
    """What a user should know of it."""

    @property
    def example(self) -> list[Any]:
        """An answer as `answer` writes it."""
        return [Span(0, 1, "A", "a").written()] if "spans" in self.task.columns else [OUTSIDE]

    def answer(self, row: Row) -> Any:
        """The row's answer in the one form that the task reads: tags in IOB2, or spans.

        What can't be written so stays as it is, as a fault of the row.
        """
        given = row[self.task.answer_columns()[0]]
        if "tags" in self.task.columns:
            tags = read_words(given)
            return given if tags is None else self.scheme.iob2(self._names(tags))
        text = self.task.key(row)
        if (tags := tag_list(given)) is not None:
            return self._spans_of_tags(text, tags)
        values = read_spans(given)
        if values is None:
            return given
        spans = [read_span(value, text) for value in values]
        return [
            value if span is None else placed(self.offsets.read(span, text), text).written()
            for value, span in zip(values, spans, strict=True)
        ]

    def _names(self, tags: Sequence[Any]) -> list[Any]:
        return [self.task.tag_name(tag) for tag in tags] if self.is_numbered else list(tags)

    def _spans_of_tags(self, text: str, tags: Sequence[Any]) -> Any:
        written = self.scheme.iob2(self._names(tags))
        places = _places(text, len(tags))
        if len(places) != len(tags) or tag_fault(written):
            return written
        return [
            Span(places[first][0], places[behind - 1][1], label).written()
            for first, behind, label in runs(written)
        ]


def form_of(task: TaggedTask, rows: Iterable[Row]) -> Form:
    """How the answers of all rows are written. Raises as `TaggedTask.form`."""
    column = task.answer_columns()[0]
    votes = Votes(words_of)
    over_text = longest = untagged = 0

    def tag_lists() -> Iterator[Sequence[Any]]:
        nonlocal over_text, longest, untagged
        for row in rows:
            if "tags" in task.columns:
                listed = read_words(row[column]) or ()
                longest = max(longest, len(listed))
                untagged += sum(map(is_untagged, listed))
                yield listed
                continue
            text = task.key(row)
            tags = tag_list(row[column])
            if tags is not None:
                over_text += 1
                yield tags
                continue
            spans = [read_span(value, text) for value in read_spans(row[column]) or ()]
            votes.add(text, [span for span in spans if span is not None])

    pairs = count_pairs(tag_lists())
    numbers = {tag for _, tag in pairs} - {""}
    names = task.options.labels or ()
    is_numbered = bool(numbers) and all(map(_is_number, numbers)) and not numbers <= {*names}
    if is_numbered:
        if not names:
            raise ConfigError([_unnamed(column, numbers)])
        called = {tag: named(task.tag_name(tag)) for tag in numbers}
        pairs = Counter(
            {
                (called.get(one or "", one), called.get(tag, tag)): n
                for (one, tag), n in pairs.items()
            }
        )
    form = Form(task, scheme_of(pairs), votes.decided(), is_numbered)
    notes = list(_notes(form, column, pairs, over_text=over_text > 0))
    if untagged:
        notes.append(
            say(
                "{column}: {n:,} words have the tag {tag}: they are neither learned nor judged",
                column=column,
                n=untagged,
                tag=UNTAGGED,
            )
        )
    if longest == 1:
        notes.append(
            say(
                "{column}: every row is one word, learned by itself: give its sentence's number "
                "in a column sentence_id",
                column=column,
            )
        )
    return replace(form, notes=tuple(notes))


def _notes(form: Form, column: str, pairs: Pairs, *, over_text: bool) -> Iterator[Message]:
    """What a user should know of how answers were written."""
    scheme = form.scheme
    tags = Counter[str]()
    for (_, tag), times in pairs.items():
        tags[tag] += times
    shown = [tag for tag, _ in tags.most_common() if tag != scheme.outside][:SHOWN]
    if form.is_numbered:
        yield say("{column}: tags are numbers, named by task.labels", column=column)
    if over_text:
        yield say("{column}: a tag for each word, or character, of the text", column=column)
    if shown and scheme.name == "IO":
        yield say(
            "{column}: tags are kinds alone ({tags}): read as IOB2, and neighbours of the same "
            "kind as one entity",
            column=column,
            tags=shown,
        ) if scheme.outside is not None else say(
            "{column}: no tag says that a word is in no entity ({tags}): each word is one",
            column=column,
            tags=shown,
        )  # fmt: skip
    elif shown and not scheme.is_plain:
        yield say(
            "{column}: tags are {scheme} ({tags}): read as IOB2",
            column=column,
            scheme=scheme.name,
            tags=shown,
        )
    if shown and scheme.outside not in (OUTSIDE, None):
        yield say(
            "{column}: {tag} is read as O, no entity", column=column, tag=repr(scheme.outside)
        )
    if note := form.offsets.note(column):
        yield note


def _unnamed(column: str, numbers: set[str]) -> Problem:
    """The question what numbers mean."""
    order = sorted(map(int, numbers))
    return Problem(
        "task.labels",
        say(
            "the tags in column {column} are numbers, {first} to {last}: name each of them, from "
            "0 on",
            column=column,
            first=order[0],
            last=order[-1],
        ),
        accepted=say("a list in their order, such as [O, B-PER, I-PER]"),
    )


def _is_number(tag: str) -> bool:
    return tag.lstrip("-").isdecimal() and len(tag) < 9


def _span_fault(text: str, answers: Sequence[Any]) -> str | None:
    tags = tag_list(answers)
    return span_fault(text, answers) if tags is None else _too_few(tags, text.split())


def _too_few(tags: Sequence[Any], words: Sequence[Any]) -> str | None:
    if len(words) == len(tags):
        return None
    return say("{n} tags for {m} words: give each word one", n=len(tags), m=len(words))


def _holds_words(sample: Sequence[Row], name: str) -> bool:
    """Whether a column holds lists of words, as far as `sample` shows."""
    values = [row[name] for row in sample if row.get(name) is not None]
    lists = [read_words(value) for value in values]
    return all(
        words is not None and all(not isinstance(word, Mapping) for word in words)
        for words in lists
    )


def _holds_marks(sample: Sequence[Row], name: str) -> bool:
    """Whether a column holds spans, or tags, as far as `sample` shows."""
    values = [row[name] for row in sample if row.get(name) is not None]
    return all(read_spans(value) is not None or tag_list(value) is not None for value in values)


def tag_list(given: Any) -> list[Any] | None:
    """The tags in a cell, texts or numbers; None where it holds something else, as spans."""
    tags = read_list(given)
    if tags is None and isinstance(given, str) and given.strip()[:1] not in ("[", "{"):
        tags = given.split()
    if not tags:
        return None
    is_tags = any(
        all(tag is None or (isinstance(tag, kind) and not isinstance(tag, bool)) for tag in tags)
        for kind in (str, int)
    )
    return tags if is_tags else None


def _places(text: str, count: int) -> Sequence[Place]:
    """Where the words of a text stand that has `count` tags: what is between spaces, or each
    character, with or without spaces. Others, where none of this fits."""
    words = [found.span() for found in re.finditer(r"\S+", text)]
    if len(words) == count:
        return words
    every = [(number, number + 1) for number in range(len(text))]
    return every if len(every) == count else [one for one in every if not text[one[0]].isspace()]
