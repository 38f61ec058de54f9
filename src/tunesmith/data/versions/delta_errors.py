"""What Delta Lake, Polars and object stores raise, in one sentence without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pyarrow as pa
from deltalake.exceptions import DeltaError
from polars.exceptions import PanicException, PolarsError

from tunesmith.errors import DataError, StorageError, UnreachableError
from tunesmith.messages import say

READ_ERRORS = (DeltaError, PolarsError, PanicException, pa.ArrowException)
"""What reading raises when the files are not what they should be; OSError aside."""

_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_BACKTRACE = re.compile(r"\s+\d+: (<unknown>|\w+).*|\s+at .*")
_S3_CODE = re.compile(r"<Code>(.*?)</Code>")
_S3_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z ]+")
_PREFIX = re.compile(r"^((Kernel|Generic|Generic delta kernel) error: )+")
_UNREACHABLE = re.compile(
    r"Connection (refused|reset)|dns error|timed out|error sending request", re.IGNORECASE
)
_LONGEST = 300
_READ = 5_000
"""Characters of an error that are looked at: it may quote any text of the data."""

_ADVICE = {
    "InvalidAccessKeyId": say("look at AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": say("look at AWS_SECRET_ACCESS_KEY"),
    "AccessDenied": say("these credentials may not do that"),
    "403 Forbidden": say("look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"),
    "NoSuchBucket": say("make the bucket, or name another"),
    "credentials": say("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "URL scheme is not allowed": say("for an endpoint with http:// set AWS_ALLOW_HTTP=true"),
    "Connection refused": say("look at AWS_ENDPOINT_URL"),
    "dns error": say("look at AWS_ENDPOINT_URL and the network"),
    "timed out": say("look at AWS_ENDPOINT_URL and the network"),
    "No space left": say("free some space"),
}


@contextmanager
def as_our_errors(what: str, doing: Literal["read", "written"]) -> Iterator[None]:
    """Turn what the libraries raise into an error of ours that begins with `what`.

    Raises DataError for damaged files, UnreachableError when the storage doesn't answer,
    StorageError when it refuses or can't be written.
    """
    try:
        yield
    except (OSError, *READ_ERRORS) as error:
        is_damage = isinstance(error, (FileNotFoundError, *READ_ERRORS))
        if doing == "read" and is_damage:
            raise DataError(
                "{what} is damaged: {reason}", what=what, reason=reason(error)
            ) from error
        is_silent = isinstance(error, OSError) and _UNREACHABLE.search(str(error))
        kind = UnreachableError if is_silent else StorageError
        raise kind(
            say("{what} can't be {doing}: {reason}", what=what, doing=doing, reason=reason(error))
        ) from error


def reason(error: BaseException) -> str:
    """What went wrong, in one line that holds no value of a secret environment variable."""
    text = _COLOURS.sub("", str(error)[:_READ])
    code, message = _S3_CODE.search(text), _S3_MESSAGE.search(text)
    if code:
        shown = code[1]
        if message:
            shown = say("{code}: {message}", code=shown, message=message[1].strip())
    else:
        lines = [line.strip(" ↳") for line in text.splitlines() if not _BACKTRACE.fullmatch(line)]
        lines = [line for line in lines if line]
        # Nested causes stand one under the other, the innermost last.
        shown = (lines[-1] if "↳" in text else lines[0]) if lines else type(error).__name__
        status = _STATUS.search(text)
        if status and status[0] not in shown:
            shown = say("{status}: {shown}", status=status[0].strip(), shown=shown)
    shown = without_secrets(_PREFIX.sub("", shown))
    shown = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
    advice = next((advice for sign, advice in _ADVICE.items() if sign in text), None)
    return say("{shown}; {advice}", shown=shown, advice=advice) if advice else shown


def without_secrets(text: str) -> str:
    """`text` with `***` for the value of every environment variable that holds a secret."""
    for name, value in os.environ.items():
        if len(value) > 3 and _SECRET_NAMES.search(name):
            text = text.replace(value, "***")
    return text
