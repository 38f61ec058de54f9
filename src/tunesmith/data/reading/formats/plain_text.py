"""Plain text: a text a line, where nothing else is recognized in a .txt file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tunesmith.data.reading.formats.base import TextFormat
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows, number_rows
from tunesmith.messages import say


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
        lines = data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
        texts = pa.array([line for line in lines if line.strip()], pa.string())
        note = say("each line is a row of the column text")
        return FileRows(number_rows(pa.table({"text": texts})), notes=(note,))
