"""What people may change of an experiment afterwards: its name, a note, tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.config.schema import ExperimentName
from tunesmith.errors import ConfigError, NotFoundError, Problem, nearest, shorten
from tunesmith.messages import say
from tunesmith.messages.foreign import of_pydantic
from tunesmith.schemas.notes import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, Note, Tag
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.queries.tags import folded

Asked = TypeVar("Asked", bound=BaseModel)

_ACCEPTED = {
    "name": say("1 to 100 letters, digits, _ . - and neither . nor - at the beginning"),
    "note": say("at most {n:,} characters, lines and tabs among them", n=LONGEST_NOTE),
    "tags": say(
        "at most {n} texts of 1 to {most} characters, without line breaks",
        n=MOST_TAGS,
        most=LONGEST_TAG,
    ),
}


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
    return read_as(ExperimentEdit, values)


def read_as(
    kind: type[Asked], values: Mapping[str, Any], also: Mapping[str, str] | None = None
) -> Asked:
    """`values` as a model; `also`: what further fields accept. Raises ConfigError."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError([_problem(each, also) for each in found]) from None


def without(unwanted: Iterable[str], tags: Iterable[str]) -> tuple[str, ...]:
    """`tags` without the `unwanted` ones. Raises NotFoundError naming the nearest of `tags`."""
    kept = {folded(tag): tag for tag in tags}
    for tag in unwanted:
        if kept.pop(folded(tag), None) is None:
            near = nearest(tag, kept.values())
            has = ", ".join(kept.values()) or "none"
            hint = (
                say("did you mean {near}?", near=near)
                if near
                else say("its tags: {names}.", names=has)
            )
            raise NotFoundError(
                "The experiment has no tag {tag}; {hint}", tag=shorten(tag), hint=hint
            )
    return tuple(kept.values())


def differences(before: Experiment, after: Experiment) -> dict[str, Any]:
    """What an edit changed, for the audit trail: of a long note, that it did."""
    changed = [n for n in ("name", "note", "tags") if getattr(before, n) != getattr(after, n)]
    if not changed:
        return {}
    names = {"name": after.name, "was": before.name} if "name" in changed else {}
    return {"changed": changed, **names}


def _problem(found: ErrorDetails, also: Mapping[str, str] | None = None) -> Problem:
    """What Pydantic found wrong, as a problem; `also` says what further fields accept."""
    accepts = {**_ACCEPTED, **(also or {})}
    field, value = ".".join(map(str, found["loc"])), found["input"]
    if found["type"] == "extra_forbidden":
        return Problem(
            field, say("unknown field"), value, ", ".join(accepts), nearest(field, accepts)
        )
    message = of_pydantic(found)
    if found["type"] == "string_pattern_mismatch":
        message = say("not a valid value")
    accepted = accepts.get(field) or (accepts.get(str(found["loc"][0])) if found["loc"] else None)
    return Problem(field, message, value, accepted)
