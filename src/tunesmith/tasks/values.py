"""Values as canonical strings: how labels are compared and contents hashed."""

from __future__ import annotations

import json
import math
from typing import Any


def canonical(value: Any) -> str:
    """`value` as the string by which it is compared and hashed, the same whatever it came from.

    Integers and integral floats are written alike (`1`), other floats as Python writes them,
    booleans `true` and `false`, a missing value as the empty string, and lists and mappings as JSON
    with sorted keys, without keys whose value is missing.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if _is_integral(float(value)) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | dict):
        return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return str(value)


def _is_integral(value: float) -> bool:
    # Larger floats keep their exponent: as digits they would claim a precision they lack.
    return math.isfinite(value) and value == math.floor(value) and abs(value) < 2.0**63


def _plain(value: Any) -> Any:
    """`value` with integral floats as integers and missing entries left out, ready for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return int(value) if _is_integral(value) else value
    return canonical(value)
