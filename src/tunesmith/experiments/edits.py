"""What people may change of an experiment afterwards: its name, a note, tags."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.config.schema import ExperimentName
from tunesmith.errors import ConfigError, NotFoundError, Problem, nearest, shorten
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.tags import folded

LONGEST_NOTE = 10_000
"""Characters of a note, at most."""
LONGEST_TAG = 50
MOST_TAGS = 20

_ACCEPTED = {
    "name": "1 to 100 letters, digits, _ . - and neither . nor - at the beginning",
    "note": f"at most {LONGEST_NOTE:,} characters, lines and tabs among them",
    "tags": f"at most {MOST_TAGS} texts of 1 to {LONGEST_TAG} characters, without line breaks",
}


def _plain_note(value: str) -> str:
    return _plain(value, but="\n\r\t")


def _plain_tag(value: str) -> str:
    tag = unicodedata.normalize("NFC", _plain(value).strip())
    if not 1 <= len(tag) <= LONGEST_TAG:
        raise ValueError(f"must have 1 to {LONGEST_TAG} characters, and has {len(tag)}")
    return tag


def _plain(value: str, but: str = "") -> str:
    """`value`. Raises ValueError where it would do something to a terminal, or ends its line."""
    wrong = ("Cc", "Cs", "Zl", "Zp")
    if any(unicodedata.category(each) in wrong and each not in but for each in value):
        raise ValueError("must hold no control characters")
    return value


# The schema says the rules to who reads it; it is the functions that keep to them.
Note = Annotated[
    str,
    Field(
        max_length=LONGEST_NOTE,
        json_schema_extra={"pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]*$"},
    ),
    AfterValidator(_plain_note),
]
Tag = Annotated[
    str,
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": LONGEST_TAG,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
        }
    ),
    AfterValidator(_plain_tag),
]


class ExperimentEdit(BaseModel):
    """What is to be changed; what is null or left out stays."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"name": "tickets_v2", "tags": ["baseline", "team a"]}},
    )

    name: ExperimentName | None = Field(
        None, description="Another name; the experiment's folder keeps the one it was made with."
    )
    note: Note | None = Field(None, description="What is to be said of it.")
    tags: list[Tag] | None = Field(
        None,
        max_length=MOST_TAGS,
        description="All tags that it shall have; one in capitals and not counts once.",
    )


def read_edit(values: Mapping[str, Any]) -> ExperimentEdit:
    """What `values` ask to be changed. Raises ConfigError with every problem."""
    try:
        return ExperimentEdit.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError([problem_of(each) for each in found]) from None


def without(unwanted: Iterable[str], tags: Iterable[str]) -> tuple[str, ...]:
    """`tags` without the `unwanted` ones. Raises NotFoundError naming the nearest of `tags`."""
    kept = {folded(tag): tag for tag in tags}
    for tag in unwanted:
        if kept.pop(folded(tag), None) is None:
            near = nearest(tag, kept.values())
            has = ", ".join(kept.values()) or "none"
            hint = f"did you mean {near}?" if near else f"its tags: {has}."
            raise NotFoundError(f"The experiment has no tag {shorten(tag)}; {hint}")
    return tuple(kept.values())


def differences(before: Experiment, after: Experiment) -> dict[str, Any]:
    """What an edit changed, for the audit trail: of a long note, that it did."""
    changed = [n for n in ("name", "note", "tags") if getattr(before, n) != getattr(after, n)]
    if not changed:
        return {}
    names = {"name": after.name, "was": before.name} if "name" in changed else {}
    return {"changed": changed, **names}


def problem_of(found: ErrorDetails, also: Mapping[str, str] | None = None) -> Problem:
    """What Pydantic found wrong, as a problem; `also` says what further fields accept."""
    accepts = {**_ACCEPTED, **(also or {})}
    field, value = ".".join(map(str, found["loc"])), found["input"]
    if found["type"] == "extra_forbidden":
        return Problem(field, "unknown field", value, ", ".join(accepts), nearest(field, accepts))
    message = found["msg"][:1].lower() + found["msg"][1:]
    for ours in ("string should", "input should", "list should"):
        message = message.replace(ours, "must").replace(" after validation", "")
    if found["type"] == "string_pattern_mismatch":
        message = "not a valid value"
    accepted = accepts.get(field) or (accepts.get(str(found["loc"][0])) if found["loc"] else None)
    return Problem(field, message.removeprefix("value error, "), value, accepted)
