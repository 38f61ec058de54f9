"""Which base model: what is at hand, or any of the hub by name."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from tunesmith.schemas.data import BaseModelState, HubModelState
from tunesmith.schemas.enums import Role
from tunesmith.ui import formats, words
from tunesmith.ui.components.new import draft
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

FIELD = "model.name"

SHORTEST = 2
"""Letters that a search needs."""


def panel() -> None:
    """Draw it."""
    st.subheader(_("Base model"))
    found = {model.name: model for model in session.client().models().items}
    task = draft.get("task")
    name = task.get("name") if isinstance(task, Mapping) else task
    # A task that writes text needs a model that does; others take any.
    writes = form.writes_text(str(name))
    wanted = [n for n, model in found.items() if not writes or model.generates]
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
        format_func=lambda n: (
            f"{words.model(n)} · {formats.size(found[n].size)}" if n in found else n
        ),
        placeholder=_("choose one, or type the name of one of the hub"),
        help=_("Models of the Hugging Face hub are fetched by the worker that trains."),
    )
    if current in found:
        st.caption(_facts(found[current]))
    if session.may(Role.MEMBER):
        _search(writes=writes)


def _search(*, writes: bool) -> None:
    """Look for a model of the hub by name, and take it; `writes`: one that writes text."""
    text = st.text_input(
        _("Search the Hugging Face hub"), key="hub-search", placeholder="distilbert, smollm …"
    ).strip()
    if len(text) < SHORTEST:
        return
    with st.spinner(_("Asking the hub …")):
        hub = session.client().models(text).hub
    if hub is None or hub.state != "answered":
        said = _("The hub can't be reached now; what is at hand stands above.")
        if hub is not None and hub.state == "offline":
            said = _("The hub is not asked here (HF_HUB_OFFLINE); what is at hand stands above.")
        st.caption(said)
        return
    models = {model.name: model for model in hub.items if model.generates or not writes}
    if not models:
        st.caption(_("The hub has no model of this name that can be trained here."))
        return
    key = f"hub-found:{text}:{draft.revision()}"

    def take() -> None:
        if value := st.session_state[key]:
            draft.put(FIELD, value)

    st.selectbox(
        _("Found on the hub"),
        list(models),
        index=None,
        key=key,
        on_change=take,
        format_func=lambda n: _hub_facts(models[n]),
        placeholder=_("choose one"),
    )


def _hub_facts(model: HubModelState) -> str:
    terms = _("terms to accept first") if model.gated else ""
    return " · ".join(filter(None, (model.name, _parameters(model), _licence(model), terms)))


def _facts(model: BaseModelState) -> str:
    where = _("installed") if model.source == "package" else _("fetched from the hub before")
    facts = [model.architecture, where, formats.size(model.size), _parameters(model)]
    if model.max_length:
        facts.append(_("up to {n} tokens").format(n=formats.number(model.max_length)))
    return as_it_is(" · ".join(filter(None, [*facts, _licence(model)])))


def _parameters(model: BaseModelState | HubModelState) -> str:
    n = model.parameters
    return _("{n} parameters").format(n=formats.compact(n)) if n else ""


def _licence(model: BaseModelState | HubModelState) -> str:
    return _("licence {name}").format(name=model.licence) if model.licence else ""
