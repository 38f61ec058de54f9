"""What libraries and the system say, as it comes through: Pydantic, errno."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "must be a valid integer",
    "must be a valid integer, unable to parse string as an integer",
    "must be a valid integer, got a number with a fractional part",
    "must be a valid number",
    "must be a valid number, unable to parse string as a number",
    "must be a finite number",
    "must be a valid boolean",
    "must be a valid boolean, unable to interpret input",
    "must be a valid string",
    "must be a valid list",
    "must be a valid dictionary",
    "must be greater than {n}",
    "must be greater than or equal to {n}",
    "must be less than {n}",
    "must be less than or equal to {n}",
    "string should have at least {n} character",
    "string should have at least {n} characters",
    "string should have at most {n} characters",
    "list should have at least {n} item after validation, not {m}",
    "null",
    "No space left on device",
    "Permission denied",
    "No such file or directory",
    "Read-only file system",
    "Connection refused",
)
