"""The registry: names found by what is said of them; one with its versions, stages and history."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from tunesmith.schemas.adapters import AdapterState, AdapterVersionState, AdapterWhole
from tunesmith.schemas.enums import Stage
from tunesmith.ui import formats, localized, navigation, words
from tunesmith.ui.components import registering
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is, code, in_badge
from tunesmith.ui.visitor import session

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
        format_func=_,
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
        shown, total = len(found.items), formats.number(found.total)
        st.caption(_("{shown} of {total}: search for more").format(shown=shown, total=total))


def _keep_search() -> None:
    st.query_params["text"] = st.session_state["adapters-text"]


def _line(each: AdapterState, stage: Stage | None) -> dict[str, object]:
    """A name with its version in production, or in the stage that is looked for."""
    wanted = stage or Stage.PRODUCTION
    shown = next((v for v in each.versions if v.stage is wanted), None)
    shown = shown or next(iter(each.versions), None)
    return {
        _("name"): f"/adapters?name={each.name}",
        _("version"): shown and shown.number,
        _("stage"): _(shown.stage) if shown else "",
        _("score"): shown and shown.score,
        _("95 % interval"): formats.interval(shown.low, shown.high) if shown else "",
        _("task"): words.task(shown.task) if shown else "",
        _("base model"): words.model(shown.model_name) if shown else "",
        _("language"): each.language or "",
        _("tags"): ", ".join(each.tags),
    }


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
    rule = registering.rule_in_words(found.demands)
    st.markdown(
        _("To go into production: {demands}").format(demands=rule)
        if rule
        else _("There is no promotion rule: any version may go into production.")
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
            _("stage"): _(each.stage),
            words.metric(each.score_name): each.score,
            _("95 % interval"): formats.interval(each.low, each.high),
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


def _history(found: AdapterWhole) -> None:
    for step in found.history:
        moved = f"{_(step.was)} → {_(step.stage)}" if step.was else _(step.stage)
        parts = [formats.moment(step.at), f"{found.name}@{step.number}", moved, step.actor]
        st.markdown(as_it_is(" · ".join(part for part in parts if part)))
        if step.forced:
            st.badge(_("forced"), icon=":material/warning:", color="orange")
        if step.comment:
            # The registry's own words in the visitor's language, people's as they wrote them.
            st.caption(as_it_is(localized.plain(step.comment)))
        for each in step.unmet:
            st.caption(localized.text(each))
