"""Which base model: what is at hand, or any of the hub by name."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from tunesmith.api.schemas.data import BaseModelState
from tunesmith.ui import formats, session, words
from tunesmith.ui.components import draft
from tunesmith.ui.language import _

FIELD = "model.name"


def panel() -> None:
    """Draw it."""
    st.subheader(_("Base model"))
    found = {model.name: model for model in session.client().models().items}
    task = draft.get("task")
    name = task.get("name") if isinstance(task, Mapping) else task
    # A task that writes text needs a model that does; others take any.
    wanted = [n for n, model in found.items() if name != "sft" or model.generates]
    current = draft.get(FIELD)
    if current and current not in wanted:
        wanted.append(str(current))
    key = f"model:{draft.revision()}"

    def keep() -> None:
        value = st.session_state[key]
        if value:
            draft.put(FIELD, value.strip())
        else:
            draft.remove(FIELD)

    st.selectbox(
        _("Model"),
        wanted,
        index=wanted.index(current) if current in wanted else None,
        key=key,
        on_change=keep,
        accept_new_options=True,
        format_func=lambda n: _title(n, found.get(n)),
        placeholder=_("choose one, or type the name of one of the hub"),
        help=_("Models of the Hugging Face hub are fetched by the worker that trains."),
    )
    if current in found:
        st.caption(_facts(found[current]))


def _title(name: str, model: BaseModelState | None) -> str:
    return f"{words.model(name)} · {formats.size(model.size)}" if model else name


def _facts(model: BaseModelState) -> str:
    where = _("installed") if model.source == "package" else _("fetched from the hub before")
    facts = [model.architecture, where, formats.size(model.size)]
    if model.parameters:
        facts.append(_("{n} parameters").format(n=formats.compact(model.parameters)))
    if model.max_length:
        facts.append(_("up to {n} tokens").format(n=formats.number(model.max_length)))
    if model.licence:
        facts.append(_("licence {name}").format(name=model.licence))
    return " · ".join(facts)
