"""The registry: names found by what is said of them; one with its versions, stages and history."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from tunesmith.api.schemas.adapters import AdapterState, AdapterVersionState, AdapterWhole
from tunesmith.tracking.registry_entities import Stage
from tunesmith.ui import formats, navigation, said, session, words
from tunesmith.ui.components import registering
from tunesmith.ui.language import _, language
from tunesmith.ui.markdown import as_it_is, code, in_badge

MOST = 200
"""Names in the list."""


def page() -> None:
    """Draw the adapter that the address names, or the list."""
    name = navigation.parameter("name")
    if name is None:
        _list()
    else:
        _one(session.client().adapter(name))


# -- the list -----------------------------------------------------------------------------------


def _list() -> None:
    st.title(_("Adapters"))
    left, right = st.columns([3, 1])
    text = left.text_input(
        _("Search"),
        navigation.parameter("text") or "",
        key="adapters-text",
        max_chars=200,
        placeholder=_("name, base model, task, language, tag …"),
        on_change=_keep_search,
    )
    stage = right.selectbox(
        _("Stage"),
        list(Stage),
        index=None,
        key="adapters-stage",
        format_func=words.stage,
        placeholder=_("any"),
    )
    found = session.client().adapters(text=text or None, stage=stage, limit=MOST)
    if not found.items:
        if text or stage:
            st.caption(_("No adapter matches."))
            return
        st.info(
            _(
                "Adapters that are used get a name here, with versions and stages. Register one on "
                "the page of an experiment that has succeeded, or with:"
            ),
            icon=":material/inventory_2:",
        )
        st.code("tunesmith adapters register reviews latest", language="bash")
        return
    st.dataframe(
        pl.DataFrame([_line(each, stage) for each in found.items]),
        hide_index=True,
        column_config={
            _("name"): st.column_config.LinkColumn(display_text=r"name=(.*)"),
            _("score"): st.column_config.NumberColumn(format="%.3f"),
        },
    )
    if found.total > len(found.items):
        st.caption(
            _("{shown} of {total}: search for more").format(
                shown=len(found.items), total=formats.number(found.total)
            )
        )


def _keep_search() -> None:
    st.query_params["text"] = st.session_state["adapters-text"]


def _line(each: AdapterState, stage: Stage | None) -> dict[str, object]:
    """A name with its version in production, or in the stage that is looked for."""
    wanted = stage or Stage.PRODUCTION
    shown = next((v for v in each.versions if v.stage is wanted), None)
    shown = shown or next(iter(each.versions), None)
    line: dict[str, object] = {_("name"): f"/adapters?name={each.name}"}
    line |= {
        _("version"): None if shown is None else shown.number,
        _("stage"): "" if shown is None else words.stage(shown.stage),
        _("score"): None if shown is None else shown.score,
        _("95 % interval"): "" if shown is None else _interval(shown),
        _("task"): "" if shown is None else words.task(shown.task),
        _("base model"): "" if shown is None else words.model(shown.model_name),
    }
    return line | {_("language"): each.language or "", _("tags"): ", ".join(each.tags)}


# -- one of them --------------------------------------------------------------------------------


def _one(found: AdapterWhole) -> None:
    navigation.link("adapters", _("All adapters"), icon=":material/arrow_back:")
    st.title(as_it_is(found.name), anchor=False)
    if found.description:
        st.text(found.description)
    with st.container(horizontal=True, gap="small"):
        if found.language:
            st.badge(in_badge(found.language), icon=":material/translate:", color="gray")
        for tag in found.tags:
            st.badge(in_badge(tag), icon=":material/sell:", color="violet")
    demanded = registering.demanded(found.demands)
    st.markdown(
        _("To go into production: {demands}").format(demands=demanded)
        if demanded
        else _("Nothing is demanded of a version that goes into production.")
    )
    st.caption(_("A program asks for it as:") + " " + code(f"{found.name}@production"))
    if session.may_change(found.owner):
        with st.container(horizontal=True, gap="small"):
            if found.versions and st.button(
                _("Promote or archive"), type="primary", icon=":material/rocket_launch:"
            ):
                registering.ask_stage(found)
            if st.button(_("Edit"), icon=":material/sell:"):
                registering.ask_edit(found)
    if not found.versions:
        st.caption(_("It has no version."))
        return
    st.subheader(_("Versions"), anchor=False)
    _versions(found.versions)
    st.subheader(_("History"), anchor=False)
    _history(found)


def _versions(versions: Sequence[AdapterVersionState]) -> None:
    rows = [
        {
            _("version"): each.number,
            _("stage"): words.stage(each.stage),
            words.metric(each.score_name): each.score,
            _("95 % interval"): _interval(each),
            _("verified"): each.reload_verified,
            _("data"): words.dataset(each.dataset),
            _("base model"): words.model(each.model_name),
            _("experiment"): f"/experiment?id={each.experiment_id}",
            _("registered"): formats.moment(each.created_at),
            _("by"): each.created_by,
            _("comment"): each.comment,
        }
        for each in versions
    ]
    metrics = {words.metric(each.score_name) for each in versions}
    st.dataframe(
        pl.DataFrame(rows, infer_schema_length=None),
        hide_index=True,
        column_config={
            **{name: st.column_config.NumberColumn(format="%.3f") for name in metrics},
            _("experiment"): st.column_config.LinkColumn(display_text=r"id=(.*)"),
        },
    )


def _interval(version: AdapterVersionState) -> str:
    if version.low is None or version.high is None:
        return formats.NOTHING
    return _("{least} to {most}").format(
        least=formats.score(version.low), most=formats.score(version.high)
    )


def _history(found: AdapterWhole) -> None:
    for step in found.history:
        moved = words.stage(step.stage)
        if step.was is not None:
            moved = f"{words.stage(step.was)} → {moved}"
        parts = [formats.moment(step.at), f"{found.name}@{step.number}", moved, step.actor]
        st.markdown(as_it_is(" · ".join(part for part in parts if part)))
        if step.forced:
            st.badge(_("forced"), icon=":material/warning:", color="orange")
        if step.comment:
            # The registry's own words in the visitor's language, people's as they wrote them.
            known = said.is_known(step.comment, language())
            st.caption(said.text(step.comment) if known else as_it_is(step.comment))
        for each in step.unmet:
            st.caption(said.text(each))
