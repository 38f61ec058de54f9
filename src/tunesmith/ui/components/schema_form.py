"""Fields of the configuration as widgets, made from its JSON schema: new ones appear unasked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import streamlit as st
import yaml

from tunesmith.errors import Problem
from tunesmith.ui import said, session
from tunesmith.ui.components import draft
from tunesmith.ui.language import _

SIMPLE = frozenset(
    {
        "training.learning_rate",
        "training.num_train_epochs",
        "training.per_device_train_batch_size",
        "training.seed",
        "lora.r",
        "lora.lora_alpha",
        "data.train_samples",
        "data.eval_fraction",
        "data.max_length",
    }
)
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
    """The JSON schema of a configuration; it doesn't change while the API runs."""
    return _schema(session.api_url())


@st.cache_data(ttl=300, show_spinner=False)
def _schema(url: str) -> dict[str, Any]:
    return session.client().configuration_schema()


def tasks() -> list[str]:
    """Names of the tasks."""
    return sorted(schema()["properties"]["task"]["discriminator"]["mapping"])


def writes_text(task: str) -> bool:
    """Whether an adapter of this task is asked as a chat, and answers with a text."""
    whole = schema()
    reference = whole["properties"]["task"]["discriminator"]["mapping"].get(task, "")
    return bool(whole["$defs"].get(reference.rpartition("/")[2], {}).get("writes_text"))


def fields(section: str, task: str) -> list[Field]:
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


def show_problems(problems: Sequence[Problem]) -> None:
    """What is wrong with one field."""
    for problem in problems:
        st.markdown(f":red[:material/error: {said.problem(problem)}]")


def widget(field: Field) -> None:
    """The widget that fits the field's type."""
    kind = field.schema.get("type")
    if "enum" in field.schema:
        _choice(field, field.schema["enum"])
    elif kind == "boolean":
        _switch(field)
    elif kind in ("integer", "number"):
        _number(field)
    elif kind == "string":
        _text(field)
    else:
        _yaml(field)


def _key(field: Field) -> str:
    return f"field:{field.path}:{draft.revision()}"


def _label(field: Field) -> str:
    return field.name


def _help(field: Field) -> str:
    default = json.dumps(field.default, ensure_ascii=False)
    return f"{_(field.description)}\n\n`{field.path}` · {_('default')}: `{default}`"


def _value(field: Field) -> Any:
    return draft.get(field.path) if draft.has(field.path) else field.default


def _store(field: Field, value: Any) -> None:
    if value == field.default and type(value) is type(field.default):
        draft.remove(field.path)
    else:
        draft.put(field.path, value)


def _choice(field: Field, options: Sequence[Any]) -> None:
    value = _value(field)

    def keep() -> None:
        _store(field, st.session_state[_key(field)])

    st.selectbox(
        _label(field),
        options,
        index=options.index(value) if value in options else None,
        key=_key(field),
        help=_help(field),
        on_change=keep,
        placeholder=_("by itself"),
    )


def _switch(field: Field) -> None:
    def keep() -> None:
        _store(field, st.session_state[_key(field)])

    if field.nullable:
        _choice(field, [True, False])
        return
    st.toggle(
        _label(field), bool(_value(field)), key=_key(field), help=_help(field), on_change=keep
    )


def _number(field: Field) -> None:
    value = _value(field)
    whole = field.schema["type"] == "integer"

    def keep() -> None:
        _store(field, st.session_state[_key(field)])

    if whole and (value is None or isinstance(value, int)):
        least = field.schema.get("minimum")
        st.number_input(
            _label(field),
            value=value,
            step=1,
            min_value=int(least) if least is not None else None,
            key=_key(field),
            help=_help(field),
            on_change=keep,
            placeholder=_("by itself"),
        )
    else:
        _written(field, lambda text: float(text) if not whole else int(text))


def _text(field: Field) -> None:
    value = _value(field)

    def keep() -> None:
        text = st.session_state[_key(field)]
        _store(field, text or (None if field.nullable else text))

    long = "template" in field.name or field.name.rpartition("_")[2] == "prompt"
    ask = st.text_area if long else st.text_input
    ask(
        _label(field),
        "" if value is None else str(value),
        key=_key(field),
        help=_help(field),
        on_change=keep,
        placeholder=_("by itself") if field.nullable else "",
    )


def _written(field: Field, read: Any) -> None:
    """A number that is written, so that 2e-3 stays what it is."""
    value = _value(field)

    def keep() -> None:
        text = str(st.session_state[_key(field)]).strip()
        if not text:
            _store(field, None if field.nullable else field.default)
            return
        try:
            _store(field, read(text))
        except ValueError:
            draft.put(field.path, text)  # the API says what is wrong with it

    shown = "" if value is None else (f"{value:g}" if isinstance(value, float) else str(value))
    st.text_input(
        _label(field),
        shown,
        key=_key(field),
        help=_help(field),
        on_change=keep,
        placeholder=_("by itself") if field.nullable else "",
    )


def _yaml(field: Field) -> None:
    """Lists and mappings, as YAML writes them on one line."""
    value = _value(field)

    def keep() -> None:
        text = str(st.session_state[_key(field)]).strip()
        try:
            _store(field, yaml.safe_load(text) if text else field.default)
        except yaml.YAMLError:
            draft.put(field.path, text)

    shown = "" if value is None else yaml.safe_dump(value, default_flow_style=True, width=1000)
    st.text_input(
        _label(field),
        shown.removesuffix("\n...\n").strip(),
        key=_key(field),
        help=_help(field),
        on_change=keep,
        placeholder=_("by itself"),
    )
