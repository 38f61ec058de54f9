"""Text a line: with its labels before it, as fastText has them, or without any."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pyarrow as pa

from tunesmith.data.reading.formats.base import TextFormat
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows, number_rows
from tunesmith.messages import say


class FastText(TextFormat):
    """`__label__NAME` once or more, and a text, a line each."""

    name = "fasttext"
    label = "fastText"
    endings = (".ft",)

    def recognizes_text(self, head: str) -> bool:
        """Whether every line begins with a label."""
        lines = [line for line in head.splitlines() if line.strip()]
        return bool(lines) and all(line.startswith(_LABEL) for line in lines[:100])

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The columns `text` and `label`; `labels`, lists, where a line has several or none."""
        texts, labels = [], []
        for line in _lines(data):
            given = list(takewhile(lambda word: word.startswith(_LABEL), line.split()))
            labels.append([word.removeprefix(_LABEL) for word in given])
            texts.append("".join(line.split(maxsplit=len(given))[len(given) :]).strip())
        column = {"text": pa.array(texts, pa.string())}
        if all(len(each) == 1 for each in labels):
            column["label"] = pa.array([each[0] for each in labels], pa.string())
        else:
            column["labels"] = pa.array(labels, pa.list_(pa.string()))
        return FileRows(number_rows(pa.table(column)))


_LABEL = "__label__"


def _lines(data: bytearray) -> list[str]:
    """The lines that aren't blank."""
    lines = data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip()]


class PlainText(TextFormat):
    """A text a line."""

    name = "text"
    label = say("plain text")
    endings = (".txt",)
    rank = 10

    def recognizes_text(self, head: str) -> bool:
        """Never: every text could be one."""
        return False

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The lines that aren't blank, as the column `text`."""
        texts = pa.array(_lines(data), pa.string())
        note = say("each line is a row of the column text")
        return FileRows(number_rows(pa.table({"text": texts})), notes=(note,))
