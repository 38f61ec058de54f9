"""Numbers and times as people read them, in the visitor's language and the configured time zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_compact_decimal, format_decimal, format_percent

from tunesmith.ui.language import _, locale
from tunesmith.ui.visitor.session import settings

NOTHING = "\N{EN DASH}"
"""Where there is no value."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None, digits: int = 0) -> str:
    """With thousands separated, and so many `digits` after the point."""
    if value is None or not math.isfinite(value):
        return NOTHING
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    rounded = Decimal(f"{value:.{digits}f}")  # as everywhere else: Babel would round otherwise
    return str(format_decimal(rounded, pattern, locale=locale()))


def score(value: float | None) -> str:
    """A metric: three digits after the point, as everywhere in Tunesmith."""
    return number(value, 3)


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of a metric."""
    if low is None or high is None:
        return NOTHING
    return _("{least} to {most}").format(least=score(low), most=score(high))


def signed(value: float | None) -> str:
    """A difference of metrics, with its sign."""
    if value is None:
        return NOTHING
    return ("+" if value > 0 else "") + score(value)


def share(value: float | None) -> str:
    """0.25 as 25 %."""
    return NOTHING if value is None else str(format_percent(value, locale=locale()))


def compact(value: float | None) -> str:
    """22,700,000 as 23M."""
    if value is None:
        return NOTHING
    return str(format_compact_decimal(value, locale=locale(), fraction_digits=1))


def size(count: float | None) -> str:
    """Bytes, in the unit that fits (powers of 1,000)."""
    if count is None:
        return NOTHING
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{number(count, 1 if unit and count < 100 else 0)} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return _("{n} s").format(n=number(seconds, 1 if seconds < 10 else 0))
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _joined(_("{n} min").format(n=minutes), _("{n} s").format(n=rest) if rest else "")
    hours, minutes = divmod(minutes, 60)
    left = _("{n} min").format(n=minutes) if minutes else ""
    return _joined(_("{n} h").format(n=number(hours)), left)


def _joined(larger: str, smaller: str) -> str:
    return f"{larger} {smaller}" if smaller else larger


def moment(time: datetime | None) -> str:
    """Date and time to the minute, in the configured zone."""
    if time is None:
        return NOTHING
    zone = settings().timezone
    return str(format_datetime(time, "yyyy-MM-dd HH:mm", tzinfo=zone, locale=locale()))


def ago(time: datetime | None) -> str:
    """How long ago it was."""
    if time is None:
        return NOTHING
    passed = time - datetime.now(UTC)
    return str(format_timedelta(passed, add_direction=True, locale=locale()))
