"""Exports of annotation tools: Label Studio, doccano and Prodigy, for entities and for labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.data.layouts.base import Layout, LeftOut
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row
from tunesmith.tasks.parts.entities import joined
from tunesmith.tasks.parts.spans import read_document, read_span, read_spans, read_words
from tunesmith.tasks.parts.texts import TEXT_NAMES

SPANS = pa.list_(
    pa.struct([
        ("start", pa.int64()), ("end", pa.int64()), ("label", pa.string()), ("text", pa.string()),
    ])
)  # fmt: skip
LABELS = pa.list_(pa.string())


class _Annotations(Layout):
    """Texts with the entities, or the labels, that people gave them."""

    tasks: ClassVar[tuple[str, ...]] = ("token-classification", "text-classification")

    @property
    def _marks_entities(self) -> bool:
        return self.task == "token-classification"

    @cached_property
    def _several(self) -> bool:
        """Whether a text has more than one label, as far as the first rows show."""
        return any(self._count(row) > 1 for row in self.sample)

    def _count(self, row: Row) -> int:
        try:
            return len(self._first_labels(row))
        except (AttributeError, LookupError, TypeError, ValueError):
            return 0  # it is refused when it is converted

    def _first_labels(self, row: Row) -> list[str]:
        """The labels of a row of the sample."""
        return []

    def types(self) -> Mapping[str, pa.DataType]:
        """A text with its spans, or with its labels."""
        if self._marks_entities:
            return {"text": pa.large_string(), "spans": SPANS}
        return {"text": pa.large_string(), "label": LABELS if self._several else pa.string()}

    def _row(self, text: Any, spans: Sequence[Any], labels: Sequence[str]) -> dict[str, Any]:
        """The row that the task knows."""
        if self._marks_entities:
            return {"text": text, "spans": [_plain(span, text) for span in spans]}
        if self._several or len(labels) > 1:
            return {"text": text, "label": list(labels)}
        return {"text": text, "label": labels[0] if labels else None}


def _plain(value: Any, text: Any) -> Any:
    """A span with its start, end, label and words alone; as it is where it can't be read."""
    span = read_span(value, str(text or ""))
    return value if span is None else span.written()


def _opened(value: Any) -> Any:
    """What stands in a cell, also where it is JSON text."""
    return read_document(value) if isinstance(value, str) else value


def _text_key(data: Mapping[str, Any]) -> str | None:
    """The key of the text in an object: a usual name, else the only, or longest, text."""
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value}
    by_name = {key.casefold(): key for key in reversed(texts)}
    usual = next((by_name[name] for name in TEXT_NAMES if name in by_name), None)
    return usual or max(texts, key=lambda key: len(texts[key]), default=None)


class LabelStudio(_Annotations):
    """Label Studio's JSON: tasks with their annotations."""

    name = "label-studio"
    label = "Label Studio"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether rows have an object of data, and annotations with results."""
        return "data" in columns and cls._annotated(columns) is not None

    @staticmethod
    def _annotated(columns: Sequence[str]) -> str | None:
        """The column with annotations; `completions` before version 1.0."""
        return next((name for name in ("annotations", "completions") if name in columns), None)

    def used(self) -> Mapping[str, Message]:
        """Data as the text, annotations as what is learned."""
        column = self._annotated(self.columns)
        what = say("entities") if self._marks_entities else say("label")
        return {"data": say("text"), **({column: what} if column else {})}

    def convert(self, row: Row) -> dict[str, Any]:
        """The text, and what its annotation says of it. Raises LeftOut where nobody annotated it.

        Of several annotations the one marked as ground truth counts, else the first.
        """
        results = self._results(row)
        data = _opened(row["data"])
        key = _text_key(data) if isinstance(data, Mapping) else None
        text = data[key] if key else data
        for other in data if isinstance(data, Mapping) else ():
            if other != key and data[other] is not None:
                self.ignore(f"data.{other}")
        spans, labels = [], []
        for result in results:
            value = result.get("value") or {}
            if value.get("choices"):
                labels += value["choices"]
            elif kind := next((k for k in ("labels", "hypertextlabels") if value.get(k)), None):
                places = value.get("globalOffsets") or value
                named = {"label": value[kind], "text": value.get("text")}
                spans.append({"start": places["start"], "end": places["end"], **named})
            else:
                self.ignore(f"annotations[].result[] ({result.get('type') or '?'})")
        if spans and not self._marks_entities:
            self.ignore("annotations[].result[].value.labels")
        elif labels and self._marks_entities:
            self.ignore("annotations[].result[].value.choices")
        return self._row(text, spans, labels)

    def _results(self, row: Row) -> list[Mapping[str, Any]]:
        """What was marked in the annotation that counts. Raises LeftOut where there is none."""
        given = [one for one in _opened(row.get(self._annotated(self.columns) or "")) or () if one]
        done = [one for one in given if not one.get("was_cancelled")]
        if not done:
            raise LeftOut("its annotation was skipped") if given else LeftOut("is not annotated")
        chosen = next((one for one in done if one.get("ground_truth")), done[0])
        own = _marked(chosen)
        for other in done:
            if other is not chosen:
                same = _marked(other) == own
                self.ignore(_SAME if same else _OTHER)
        return [result for result in _opened(chosen.get("result")) or () if result]

    def _first_labels(self, row: Row) -> list[str]:
        annotations = _opened(row.get(self._annotated(self.columns) or "")) or ()
        return max((_choices(one) for one in annotations if one), key=len, default=[])

    def question(self, row: Row) -> Row:
        """The text of a task."""
        data = _opened(row.get("data"))
        key = _text_key(data) if isinstance(data, Mapping) else None
        return {**row, "text": data[key]} if key else row


_SAME = say("annotations[] of further annotators, equal to the first")
_OTHER = say("annotations[] of further annotators, other than the first")


def _choices(annotation: Mapping[str, Any]) -> list[str]:
    """The labels that an annotation gives to the whole text."""
    results = [result for result in _opened(annotation.get("result")) or () if result]
    return [one for each in results for one in (each.get("value") or {}).get("choices") or ()]


def _marked(annotation: Mapping[str, Any]) -> list[str]:
    """What an annotation says, to be compared with another."""
    results = [result for result in _opened(annotation.get("result")) or () if result]
    return sorted(str(result.get("value")) for result in results)


class LabelStudioMin(_Annotations):
    """Label Studio's JSON-MIN: data and results side by side."""

    name = "label-studio-min"
    label = "Label Studio (JSON-MIN)"
    _OWN = frozenset((
        "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement",
    ))  # fmt: skip

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether rows say who annotated them, beside a text and what was marked in it."""
        if not {"annotator", "annotation_id"} <= {*columns}:
            return False
        return any(_is_marked(_opened(row.get(name))) for row in sample for name in columns)

    @cached_property
    def _marks(self) -> str:
        """The column with what was marked."""
        columns = [name for name in self.columns if name not in self._OWN]
        return max(
            columns,
            key=lambda name: sum(_is_marked(_opened(row.get(name))) for row in self.sample),
        )

    @cached_property
    def _text(self) -> str | None:
        hidden = {self._marks, *self._OWN}
        texts = [
            {key: value for key, value in row.items() if key not in hidden} for row in self.sample
        ]
        return next((key for data in texts if (key := _text_key(data))), None)

    def used(self) -> Mapping[str, Message]:
        """The text and what was marked in it."""
        what = say("entities") if self._marks_entities else say("label")
        return {**({self._text: say("text")} if self._text else {}), self._marks: what}

    def convert(self, row: Row) -> dict[str, Any]:
        """The text with its entities or labels."""
        given = _opened(row.get(self._marks))
        text = row.get(self._text) if self._text else None
        return self._row(text, read_spans(given) or [], _labels(given, row.get(self._marks)))

    def _first_labels(self, row: Row) -> list[str]:
        return _labels(_opened(row.get(self._marks)), None)

    def question(self, row: Row) -> Row:
        """The text of a row, whatever its column is called."""
        key = _text_key({name: value for name, value in row.items() if name not in self._OWN})
        return {**row, "text": row[key]} if key else row


def _is_marked(value: Any) -> bool:
    """Whether a value is what Label Studio writes of entities or choices."""
    if isinstance(value, Mapping):
        return bool(value.get("choices"))
    return bool(value) and isinstance(value, list) and isinstance(value[0], Mapping)


def _labels(opened: Any, given: Any) -> list[str]:
    """The choices in a cell: an object with several, or one as a text."""
    if isinstance(opened, Mapping):
        return [str(one) for one in opened.get("choices") or ()]
    return [given] if isinstance(given, str) and not isinstance(opened, list) else []


class Doccano(_Annotations):
    """doccano's JSON Lines, whose text some versions call data."""

    name = "doccano"
    label = "doccano"

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether rows have a text as data and labels, or entities and their relations."""
        there = {*columns}
        is_data = {"data", "label"} <= there and "text" not in there
        texts = all(isinstance(row.get("data"), str | None) for row in sample)
        return (is_data and texts) or {"text", "entities", "relations"} <= there

    @cached_property
    def _names(self) -> tuple[str, str]:
        """The columns of the text and of what was marked."""
        text = "data" if "data" in self.columns and "text" not in self.columns else "text"
        return text, "entities" if "entities" in self.columns else "label"

    def used(self) -> Mapping[str, Message]:
        """The text and what was marked in it."""
        text, marks = self._names
        return {text: say("text"), marks: say("entities") if self._marks_entities else say("label")}

    def convert(self, row: Row) -> dict[str, Any]:
        """The text with its entities or labels."""
        text, marks = self._names
        if self._marks_entities:
            return self._row(row.get(text), read_spans(row.get(marks)) or [], [])
        return self._row(row.get(text), [], self._first_labels(row))

    def _first_labels(self, row: Row) -> list[str]:
        given = _opened(row.get(self._names[1])) or row.get(self._names[1])
        return [str(one) for one in given] if isinstance(given, list) else [given] if given else []

    def question(self, row: Row) -> Row:
        """The text of a row."""
        return {**row, "text": row["data"]} if "data" in row and "text" not in row else row


class Gliner(_Annotations):
    """GLiNER's words, with entities by their first and last word."""

    name = "gliner"
    label = "GLiNER"
    tasks = ("token-classification",)

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether rows have words, and a list of entities for them."""
        given = [_opened(row.get("ner")) for row in sample if row.get("ner") is not None]
        marked = [one for value in given if isinstance(value, list) for one in value]
        return {"tokenized_text", "ner"} <= {*columns} and all(
            isinstance(one, list | tuple) and len(one) == 3 for one in marked
        )

    def used(self) -> Mapping[str, Message]:
        """Words as the text, and what was marked in it."""
        return {"tokenized_text": say("text"), "ner": say("entities")}

    def convert(self, row: Row) -> dict[str, Any]:
        """The text with its entities. Raises LeftOut for one that is not in it."""
        text, places = _of_words(row)
        spans = []
        for first, last, label in _opened(row.get("ner")) or ():
            if not 0 <= int(first) <= int(last) < len(places):
                raise LeftOut(
                    "entity {label}, words {first} to {last}, is not in its {n} words",
                    label=label,
                    first=first,
                    last=last,
                    n=len(places),
                )
            start, end = places[int(first)][0], places[int(last)][1]
            spans.append({"start": start, "end": end, "label": label})
        return self._row(text, spans, [])

    def question(self, row: Row) -> Row:
        """The text of a row's words."""
        return {**row, "text": _of_words(row)[0]} if "tokenized_text" in row else row


def _of_words(row: Row) -> tuple[str, Sequence[tuple[int, int]]]:
    """The text of a row's words, and where each of them stands in it."""
    return joined([str(word) for word in read_words(row["tokenized_text"]) or ()])


class Prodigy(_Annotations):
    """Prodigy's JSON Lines: what was accepted, rejected or ignored."""

    name = "prodigy"
    label = "Prodigy"
    _ANSWERS = frozenset(("accept", "reject", "ignore"))

    @classmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether every row has a text and one of Prodigy's three answers."""
        return {"text", "answer"} <= {*columns} and all(
            str(row.get("answer")) in cls._ANSWERS for row in sample
        )

    def used(self) -> Mapping[str, Message]:
        """The text, what was marked, and whether that was accepted."""
        marks = (
            {"spans": say("entities")}
            if self._marks_entities
            else {"accept": say("label"), "label": say("label")}
        )
        uses = {"text": say("text"), **marks, "answer": say("whether it is learned")}
        return {name: use for name, use in uses.items() if name in self.columns}

    def convert(self, row: Row) -> dict[str, Any]:
        """The text with its entities or labels. Raises LeftOut for what wasn't accepted."""
        answer = row.get("answer")
        if answer == "ignore":
            raise LeftOut("answer is ignore: it was skipped in Prodigy")
        if answer == "reject":
            raise LeftOut("answer is reject: what Prodigy showed is wrong")
        return self._row(row.get("text"), read_spans(row.get("spans")) or [], self._labels(row))

    def _labels(self, row: Row) -> list[str]:
        accepted = row.get("accept")
        if isinstance(accepted, list):
            return [str(one) for one in accepted]
        return [str(row["label"])] if row.get("label") else []

    def _first_labels(self, row: Row) -> list[str]:
        return self._labels(row)
