"""What commands print: in the terminal's language, and whether or not anybody still reads it.

The language is that of TUNESMITH_LANGUAGE, else of the locale. `tunesmith train … | head` ends what
is shown, not the training: once nobody reads any more, what is still printed goes nowhere, whoever
prints it. Commands that only print look at `is_unread`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.errors import printable
from tunesmith.loading import load
from tunesmith.messages import say, say_plural
from tunesmith.messages.catalogues import language_of, translate, translated

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENV_FILE = Path(".env")
"""Where `settings` reads variables too, which would take a help text too long to load."""
_VARIABLE = "TUNESMITH_LANGUAGE"


@cache
def language() -> str:
    """Code of the language in which this command speaks."""
    if os.environ.get(_VARIABLE) or not ENV_FILE.exists():
        return language_of(os.environ)
    from dotenv import dotenv_values  # takes longer to load than a help text to be shown

    asked = dotenv_values(ENV_FILE).get(_VARIABLE) or ""
    return language_of({**os.environ, _VARIABLE: asked})


def gettext(template: str, /, **values: object) -> str:
    """The text of `template` with `values`, as `say` has it, in the terminal's language."""
    return translated(say(template, **values), language())


def ngettext(one: str, many: str, /, *, n: int, **values: object) -> str:
    """The same for a text that depends on the number `n`."""
    return translated(say_plural(one, many, n=n, **values), language())


def localized(text: str) -> str:
    """`text` in the terminal's language where it is a message; texts of people stay as they are."""
    return translated(text, language())


def word(text: str) -> str:
    """A word of ours, such as a status, in the terminal's language (`messages.words`)."""
    return translate(str(text), language())


def capitalized(text: str) -> str:
    """`text` in the terminal's language, as a sentence begins."""
    said = localized(text)
    return said[:1].upper() + said[1:]


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


def echo(
    text: object = "", /, *, err: bool = False, nl: bool = True, label: str = "", **values: object
) -> None:
    """Print `text`, in which no escape sequence is left, behind a `label` that may be styled.

    With `values` it is a template, as `say` has it, and printed in the terminal's language.
    """
    said = say(str(text), **values) if values else str(text)
    click.echo(label + printable(localized(said)), err=err, nl=nl)


def echo_json(value: object, *, indent: int | None = None) -> None:
    """Print a record, or what JSON can say, on one line or with an `indent`."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    echo(
        json.dumps(
            load("tunesmith.files.writing").finite(value),
            default=str,
            ensure_ascii=False,
            indent=indent,
        )
    )


def confirm(question: str, *, yes: bool, **values: object) -> None:
    """Ask `question` with its values, unless it is answered: `yes`. Raises click's Abort for no."""
    if not yes:
        click.confirm(printable(localized(say(question, **values))), abort=True)


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
