"""The log of an experiment, `logs.txt`: times in the user's zone, no secret and no escape in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tunesmith.errors import printable
from tunesmith.files.writing import storing
from tunesmith.settings import Settings

log = logging.getLogger("tunesmith")


@contextmanager
def logging_to(path: Path, settings: Settings) -> Iterator[None]:
    """Write Tunesmith's log lines to the `logs.txt` at `path`, secrets blotted out.

    Warnings of the libraries go there too, so that the terminal stays readable. Raises StorageError
    when the log can't be written.
    """
    with storing(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(LineFormatter(settings.timezone, settings.token))
    sources = [log, *(logging.getLogger(name) for name in ("transformers", "peft", "accelerate"))]
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    sources.append(logging.getLogger("py.warnings"))
    for source in sources:
        source.addHandler(handler)
    try:
        with warnings.catch_warnings():
            # What a library will rename one day is its callers' business, not its users'.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for source in sources:
            source.removeHandler(handler)
        logging.captureWarnings(False)
        log.level, log.propagate = before
        handler.close()


def append_to_log(path: Path, settings: Settings, lines: Iterable[tuple[int, str]]) -> None:
    """Write lines, each with its level, to the `logs.txt` at `path`, of what has ended.

    Nothing else is written there meanwhile. A log that can't be written stays as it is.
    """
    with suppress(OSError), path.open("a", encoding="utf-8") as stream:
        formatter = LineFormatter(settings.timezone, settings.token)
        for level, line in lines:
            record = logging.LogRecord(log.name, level, "", 0, line, None, None)
            stream.write(formatter.format(record) + "\n")


class LineFormatter(logging.Formatter):
    """Times in the user's zone; the Hugging Face token never shown."""

    def __init__(self, zone: ZoneInfo, secret: str | None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.zone = zone
        self.secret = secret

    def formatTime(self, record: logging.LogRecord, datefmt: Any = None) -> str:  # noqa: N802
        """ISO 8601 with seconds and offset."""
        return datetime.fromtimestamp(record.created, self.zone).isoformat(" ", "seconds")

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the secret and escape sequences; further lines are set in.

        So nothing that a name or a label brings can pass for a line of its own.
        """
        line = printable(super().format(record)).replace("\n", "\n    ")
        return line.replace(self.secret, "***") if self.secret else line
