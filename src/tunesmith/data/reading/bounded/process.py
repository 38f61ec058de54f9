"""A function of `libraries` in another process, ended when it takes more than its file may."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import psutil
import pyarrow as pa

from tunesmith.data.reading.bounded import libraries
from tunesmith.data.reading.compressed import FREE_BYTES, RATIO, most_bytes
from tunesmith.errors import DataError

TIMES = 2
"""A reader may take so many times of memory what a file of its size may unfold to."""

SECONDS, SECONDS_A_MIB = 30, 10
"""Seconds of processor time that a reader may take: for any file, and for each MiB of it."""

POLLED_SECONDS = 0.02


QUERY_SECONDS = 600
"""Seconds that a query may take, of the clock too."""


@dataclass(frozen=True)
class Bounds:
    """What a reader may take."""

    called: Path | str
    """What is read, as messages name it."""
    size: int | None
    """Its bytes, where it is a file."""
    most: int
    """Bytes of memory."""
    seconds: int
    """Seconds of processor time; of the clock, where it is no file."""

    def too_large(self) -> DataError:
        """The error for what takes more memory."""
        if self.size is None:
            return DataError(
                "{address} has more rows than a third of the memory that is left can hold: ask "
                "for fewer",
                address=self.called,
            )
        return DataError(
            "{path} has {size:,.0f} KiB and takes more than {most:,} MiB of memory to read: "
            "reading stopped, because such files are made to fill a machine's memory. If it is "
            "what it should be, save it as CSV or Parquet and give that file",
            path=self.called,
            size=self.size / 1024,
            most=self.most >> 20,
        )

    def too_long(self) -> DataError:
        """The error for what takes more time."""
        return DataError(
            "{path} takes more than {seconds:,} s to read: reading stopped. If it is what it "
            "should be, save it as CSV or Parquet and give that file",
            path=self.called,
            seconds=self.seconds,
        )


class UnreadError(Exception):
    """Raised when the library can't read the file; its own words say why."""


@dataclass(frozen=True)
class Found:
    """What a reader found."""

    table: pa.Table
    """Its rows."""
    about: dict[str, Any]
    """What else it says."""


def run(name: str, path: Path, called: Path, **options: Any) -> Found:
    """What the function `name` of `libraries` makes of the file at `path`.

    `called` is the file as messages name it, with its size.

    Raises UnreadError when the library can't read it, DataError when that takes more memory or time
    than a file of this size may.
    """
    size = called.stat().st_size
    most = min(max(FREE_BYTES, most_bytes()), TIMES * max(FREE_BYTES, RATIO * size))
    bounds = Bounds(called, size, most, SECONDS + SECONDS_A_MIB * (size >> 20))
    return _run(name, path, bounds, options)


def ask(address: str, shown: str, query: str) -> Found:
    """What a database at an address answers to a query; `shown` is the address in messages.

    Raises UnreadError when it can't be asked, DataError when that takes more than a third of the
    memory left, or more than ten minutes.
    """
    bounds = Bounds(shown, None, max(FREE_BYTES, most_bytes()), QUERY_SECONDS)
    return _run("server", Path(), bounds, {"address": address, "query": query})


def _run(name: str, path: Path, bounds: Bounds, options: Mapping[str, Any]) -> Found:
    most, seconds = bounds.most, bounds.seconds
    with TemporaryDirectory(prefix="tunesmith-") as folder:
        asked = json.dumps([name, str(path.absolute()), folder, options])
        command = [sys.executable, "-P", "-m", libraries.__name__, str(seconds), str(most)]
        with (Path(folder) / "errors").open("wb") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, text=True
            )
            with _ended(process):
                assert process.stdin is not None
                with suppress(BrokenPipeError), process.stdin as stdin:
                    stdin.write(asked)
                _watch(process, bounds)
        return _result(process.returncode, Path(folder), bounds)


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """The process has ended after this, whatever happens."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _watch(process: subprocess.Popen[str], bounds: Bounds) -> None:
    """Wait for the end. Raises DataError once it takes more memory or time than it may."""
    watched = psutil.Process(process.pid)
    until = monotonic() + bounds.seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLLED_SECONDS)
            return
        with suppress(psutil.Error):
            if watched.memory_info().rss > bounds.most:
                raise bounds.too_large()
        if bounds.size is None and monotonic() > until:
            raise bounds.too_long()


def _result(code: int, folder: Path, bounds: Bounds) -> Found:
    """Raises as `run`."""
    if code == 0:
        about = json.loads((folder / libraries.ABOUT).read_text(encoding="utf-8"))
        with pa.memory_map(str(folder / libraries.TABLE)) as file:
            return Found(pa.ipc.open_stream(file).read_all(), about)
    if code == libraries.UNREAD:
        raise UnreadError((folder / libraries.ABOUT).read_text(encoding="utf-8"))
    if code in (libraries.NO_MEMORY, -signal.SIGABRT):  # so Rust ends without memory
        raise bounds.too_large()
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise bounds.too_long()
    words = (folder / "errors").read_text(encoding="utf-8", errors="replace").strip()
    raise UnreadError(words.rpartition("\n")[2][:300] or str(code))
