"""Fields of the configuration as widgets, made from its JSON schema: new ones appear unasked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import streamlit as st
import yaml

from tunesmith.errors import Problem
from tunesmith.ui import localized
from tunesmith.ui.components.new import draft
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session

SIMPLE = {
    "training.learning_rate", "training.num_train_epochs", "training.seed",
    "training.per_device_train_batch_size", "lora.r", "lora.lora_alpha",
    "data.train_samples", "data.eval_fraction", "data.max_length",
}  # fmt: skip
"""Fields that matter most; a task's own are shown all."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of the configuration."""

    path: str
    schema: Schema
    """Of its value, without the null."""
    nullable: bool
    default: Any
    description: str

    @property
    def name(self) -> str:
        """Its last name."""
        return self.path.rpartition(".")[2]


def schema() -> Schema:
    """The JSON schema of a configuration."""
    found: Schema = session.kept("configuration_schema")
    return found


def writes_text(task: str) -> bool:
    """Whether an adapter of this task is asked as a chat, and answers with a text."""
    whole = schema()
    reference = whole["properties"]["task"]["discriminator"]["mapping"].get(task, "")
    return bool(whole["$defs"].get(reference.rpartition("/")[2], {}).get("writes_text"))


def fields(section: str, task: str = "") -> list[Field]:
    """The fields of a section, those of `task` for the section task; sections inside it too."""
    whole = schema()
    found = whole["properties"][section]
    if section == "task":
        found = {"$ref": found["discriminator"]["mapping"][task]}
    return _fields(json.dumps(found), section, json.dumps(whole["$defs"]))


@cache
def _fields(section_text: str, prefix: str, definitions_text: str) -> list[Field]:
    definitions = json.loads(definitions_text)
    holder = _resolved(json.loads(section_text), definitions)
    result: list[Field] = []
    for name, found in holder.get("properties", {}).items():
        path = f"{prefix}.{name}"
        inner, nullable = _without_null(_resolved(found, definitions), definitions)
        if inner.get("properties"):
            result += _fields(json.dumps(inner), path, definitions_text)
        elif path != "task.name":
            default, description = found.get("default"), found.get("description", "")
            result.append(Field(path, inner, nullable, default, description))
    return result


def _resolved(found: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in found:
        return {**definitions[found["$ref"].rpartition("/")[2]], **found}
    return found


def _without_null(found: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, bool]:
    kinds = [_resolved(kind, definitions) for kind in found.get("anyOf", [])]
    real = [kind for kind in kinds if kind.get("type") != "null"]
    if not kinds:
        return found, False
    return (real[0] if len(real) == 1 else {"type": "any"}), len(real) < len(kinds)


def widgets(found: Sequence[Field], problems: Mapping[str, Sequence[Problem]]) -> None:
    """A widget for each field, two a row, each with its problems below it."""
    for first in range(0, len(found), 2):  # row by row: a phone shows them in this order
        columns = st.columns(2, gap="medium")
        for column, field in zip(columns, found[first : first + 2], strict=False):
            with column:
                widget(field)
                show_problems(problems.get(field.path, ()))


def show_problems(problems: Sequence[Problem], *, named: bool = False) -> None:
    """What is wrong with one field, or with `named` ones that stand elsewhere."""
    for problem in problems:
        field = f"`{problem.field}`: " if named and problem.field else ""
        st.markdown(f":red[:material/error: {field}{localized.problem(problem)}]")


def widget(field: Field) -> None:
    """The widget that fits the field's type."""
    kind = field.schema.get("type")
    value = draft.get(field.path) if draft.has(field.path) else field.default
    if "enum" in field.schema or (kind == "boolean" and field.nullable):
        _choice(field, value, field.schema.get("enum", [True, False]))
    elif kind == "boolean":
        st.toggle(field.name, bool(value), **_tied(field))
    elif kind == "integer" and (value is None or isinstance(value, int)):
        least = field.schema.get("minimum")
        st.number_input(
            field.name,
            value=value,
            step=1,
            min_value=None if least is None else int(least),
            placeholder=_("automatic"),
            **_tied(field),
        )
    elif kind in ("integer", "number"):
        _number(field, value, int if kind == "integer" else float)
    elif kind == "string":
        _text(field, value)
    else:
        _yaml(field, value)


def _tied(field: Field, read: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """What ties a widget to its field: it stores what `read` makes of the widget's value.

    What can't be read is stored as it was typed: the API says what is wrong with it.
    """
    key = f"field:{field.path}:{draft.revision()}"
    default = json.dumps(field.default, ensure_ascii=False)

    def keep() -> None:
        try:
            value = read(st.session_state[key])
        except (ValueError, yaml.YAMLError):
            draft.put(field.path, st.session_state[key].strip())
            return
        if value == field.default and type(value) is type(field.default):
            draft.remove(field.path)
        else:
            draft.put(field.path, value)

    about = f"{_(field.description)}\n\n`{field.path}` · {_('default')}: `{default}`"
    return {"key": key, "help": about, "on_change": keep}


def _choice(field: Field, value: Any, options: Sequence[Any]) -> None:
    index = options.index(value) if value in options else None
    st.selectbox(field.name, options, index=index, placeholder=_("automatic"), **_tied(field))


def _text(field: Field, value: Any) -> None:
    long = "template" in field.name or field.name.rpartition("_")[2] == "prompt"
    (st.text_area if long else st.text_input)(
        field.name,
        "" if value is None else str(value),
        placeholder=_("automatic") if field.nullable else "",
        **_tied(field, lambda text: text or (None if field.nullable else text)),
    )


def _number(field: Field, value: Any, number: Callable[[str], Any]) -> None:
    """A number that is written, so that 2e-3 stays what it is."""
    shown = "" if value is None else (f"{value:g}" if isinstance(value, float) else str(value))
    empty = None if field.nullable else field.default
    tied = _tied(field, lambda text: number(text) if text.strip() else empty)
    hint = _("automatic") if field.nullable else ""
    st.text_input(field.name, shown, placeholder=hint, **tied)


def _yaml(field: Field, value: Any) -> None:
    """Lists and mappings, as YAML writes them on one line."""
    shown = "" if value is None else yaml.safe_dump(value, default_flow_style=True, width=1000)
    shown = shown.removesuffix("\n...\n").strip()
    tied = _tied(field, lambda text: yaml.safe_load(text) if text.strip() else field.default)
    st.text_input(field.name, shown, placeholder=_("automatic"), **tied)
