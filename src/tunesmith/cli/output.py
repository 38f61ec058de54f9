"""Standard output and error that outlive their readers.

`tunesmith train … | head` ends what is shown, not the training: once nobody reads any more, what is
still printed goes nowhere, whoever prints it. Commands that only print look at `is_unread`.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from tunesmith.errors import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GONE = (errno.EPIPE, errno.EIO)
"""What writing says of a pipe whose reader has ended, and of a terminal that was closed."""

_unread: set[int] = set()
"""Numbers of the files whose readers are gone."""


class _Outliving(io.FileIO):
    """A file whose reader may end: then it becomes the null device, for all in this process."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop what nobody reads."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _GONE:
                raise
        _unread.add(self.fileno())
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return len(memoryview(data))


def outlive_readers() -> None:
    """Let this process's output outlive those who read it; once, as the process begins."""
    sys.stdout = _outliving(sys.stdout)
    sys.stderr = _outliving(sys.stderr)


def is_unread() -> bool:
    """Whether those who read the standard output are gone."""
    return 1 in _unread


def echo(text: object = "", *, err: bool = False, nl: bool = True, label: str = "") -> None:
    """Print `text`, in which no escape sequence is left, behind a `label` that may be styled."""
    click.echo(label + printable(str(text)), err=err, nl=nl)


def confirm(question: str) -> None:
    """Ask; a no ends the command. Raises click's Abort."""
    click.confirm(printable(question), abort=True)


def _outliving(stream: object) -> io.TextIOWrapper:
    """`stream` where it is Python's own on a file; others, as in tests and notebooks, stay."""
    if type(stream) is not io.TextIOWrapper:
        return stream  # type: ignore[return-value]
    stream.flush()
    file = _Outliving(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        # A letter that the terminal lacks is no reason to end a training either.
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
