"""A dataset as a program writes it, with what is to be learned of its first row."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import BAD, GOOD, sentence

from tunesmith.tasks.base import Row
from tunesmith.tasks.parts.entities import entities

ROWS = 24
OTHER = {"good": "bad", "bad": "good"}


def _texts() -> list[str]:
    rng = random.Random(5)
    texts = {sentence(rng, good=n % 2 == 0): None for n in range(ROWS)}
    return list(texts)


def _tags(text: str, marks: list[dict[str, Any]]) -> list[str]:
    """The marks as IOB2, a tag for each word."""
    tags, start = [], 0
    for word in text.split(" "):
        inside = [mark for mark in marks if mark["start"] <= start < mark["end"]]
        tags += [f"{'B' if m['start'] == start else 'I'}-{m['label']}" for m in inside] or ["O"]
        start += len(word) + 1
    return tags


TEXTS = _texts()
VERDICTS = ["good" if {*text.split()} & {*GOOD} else "bad" for text in TEXTS]
MARKS: list[list[dict[str, Any]]] = [
    [
        {"start": found.start(), "end": found.end(),
         "label": "PRAISE" if found[1] in GOOD else "BLAME"}
        for found in re.finditer(rf"\b({'|'.join(GOOD + BAD)})( \w+)?\b", text)
    ]
    for text in TEXTS
]  # fmt: skip
"""Each text's word that decides, with the one behind it, as a span."""
TAGS = [_tags(text, marks) for text, marks in zip(TEXTS, MARKS, strict=True)]


@dataclass(frozen=True)
class Case:
    """One way in which data come."""

    name: str
    """What its file is called; a folder's name has no ending."""
    write: Callable[[Path], object]
    """Write it to a path."""
    task: str
    first: Any
    """What is learned of its first row, as `learned` has it."""
    format: str | None = None
    """As which it is read; None: files of several formats, or none."""
    layout: str | None = None
    """The layout that is recognized."""
    sets: tuple[str, ...] = ()
    """What its owner has to say."""
    query: str = ""
    """What is asked of it, where it is a database."""
    rows: int = ROWS
    """Rows that are answered."""
    learned: int = ROWS
    """Rows that can be learned from."""
    model: str = ""
    """Fixture with its base model, where that isn't the usual one of the task."""

    def __str__(self) -> str:
        layout = self.layout or (self.task if self.task != "text-classification" else "")
        return " ".join(filter(None, (layout, self.query and "query", self.name)))

    def source(self, folder: Path) -> str:
        """What the dataset is called, once it is written into `folder`."""
        path = folder / self.name
        return f"sqlite:///{path}#{self.query}" if self.query else str(path)


def learned(task: Any, row: Row) -> Any:
    """What a task that is bound to its columns learns of `row`."""
    match task.name:
        case "sft":
            return _turns(task.messages(row))
        case "dpo":
            return [_turns(turns) for turns in task.pair(row)[1]]
        case "token-classification":
            tagged = task.tagged(row)
            return tagged.text, [(one["text"], one["label"]) for one in entities(tagged)]
        case "regression":
            return row[task.columns["text"]], float(row[task.columns["target"]])
    return row[task.columns["text"]], task.parse_label(row[task.columns["label"]])


def _turns(turns: Iterable[Any]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in turns]


def asks(text: str, answer: str, *, system: str = "") -> list[tuple[str, str]]:
    """A conversation of one question and its answer, as `learned` has it."""
    before = [("system", system)] if system else []
    return [*before, ("user", text), ("assistant", answer)]


def lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
