"""SQL column types that keep every value whole on the way in and out, on every database."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from numbers import Integral, Real
from typing import Any

from sqlalchemy import JSON, DateTime, Double, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from tunesmith.messages import Message
from tunesmith.messages.message import from_json

_MARK = "\x1e"
"""ASCII's record separator, which no text that people read holds."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` with U+FFFD in place of what a database refuses.

    PostgreSQL takes no NUL, and half a surrogate pair (an undecodable byte in a file name) is no
    UTF-8: the reason of a failure must be recorded all the same.
    """
    return _UNSTORABLE.sub("\ufffd", text)


def to_json(value: Any) -> Any:
    """`value` as JSON can say it: numbers that are not finite become None, unknown things text."""
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, Mapping):
        return {storable(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    text = str(value)
    return text.changed(storable) if isinstance(text, Message) else storable(text)


class Text(TypeDecorator[str]):
    """Text of any length, made `storable`."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What the database is given for `value`."""
        return None if value is None else storable(value)


class Said(TypeDecorator[str]):
    """Text that may be a message: what one is made of follows its text, behind a mark.

    That is JSON in base64, in which no search for words finds anything. What stands there without
    the mark is plain text, as versions before messages wrote all of it.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What the database is given for `value`."""
        if value is None:
            return None
        text = storable(value).replace(_MARK, "\ufffd")
        if not isinstance(value, Message):
            return text
        parts = json.dumps(to_json(value).to_json(), ensure_ascii=False).encode()
        return f"{text}{_MARK}{base64.b64encode(parts).decode()}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """What the record is given for the database's `value`."""
        if value is None or _MARK not in value:
            return value
        text, _, parts = value.partition(_MARK)
        try:
            return from_json(json.loads(base64.b64decode(parts))) or text
        except ValueError:
            return text


class Word(TypeDecorator[StrEnum]):
    """A member of `kind`, kept as its word."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """What the database is given for `value`."""
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """What the record is given for the database's `value`."""
        return None if value is None else self.kind(value)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in, the same moment in UTC out, to the microsecond.

    Raises ValueError (inside SQLAlchemy's StatementError) for a datetime without a zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the database is given for `value`."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the record is given for the database's `value`."""
        if value is None:
            return None
        # SQLite keeps no zone: what was written there was UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Finite(TypeDecorator[float]):
    """A double; NaN and infinity become NULL, so that they never sort, average or win."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """What the database is given for `value`."""
        return None if value is None or not math.isfinite(value) else float(value)


class MetricValue(TypeDecorator[float]):
    """A double that may be NaN: NULL in the database (SQLite has no NaN), NaN again outside."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """What the database is given for `value`."""
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """What the record is given for the database's `value`."""
        return math.nan if value is None else value


class Document(TypeDecorator[Any]):
    """JSON, cleaned by `to_json`; the order of keys is kept (hence not PostgreSQL's jsonb).

    A message in it is kept as `{text, template, values}`, and is a message again outside.
    """

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """What the database is given for `value`."""
        return _taken_apart(to_json(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What the record is given for the database's `value`."""
        return _put_together(value)


def _taken_apart(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _taken_apart(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_taken_apart(each) for each in value]
    return value.to_json() if isinstance(value, Message) else value


def _put_together(value: Any) -> Any:
    if isinstance(value, dict):
        message = from_json(value) if "template" in value else None
        return message or {name: _put_together(each) for name, each in value.items()}
    return [_put_together(each) for each in value] if isinstance(value, list) else value
