"""Type a text, and see what an adapter makes of it, beside its base model and another adapter."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.api.schemas.experiments import ExperimentSummary
from tunesmith.api.schemas.predict import Entity, PredictedAnswer, Predictions
from tunesmith.errors import TunesmithError
from tunesmith.ui import address, formats, navigation, session, trouble, words
from tunesmith.ui.components import schema_form as form
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is

CHOICES = 200
"""Of the newest experiments that succeeded."""


def page() -> None:
    """Draw it."""
    st.title(_("Try it"))
    found = session.client().experiments(status="succeeded", limit=CHOICES).items
    if not found:
        st.info(_("Nothing was trained yet."), icon=":material/chat:")
        navigation.link("new", _("New experiment"))
        return
    known = {one.id: one for one in found}
    asked = navigation.parameter("id")
    if asked and asked not in known:
        known[asked] = session.client().experiment(asked)
    first, second = _adapters(known)
    one = known[first]
    text = _text(one)
    beside = st.toggle(_("The base model beside it"), value=True, key="beside")
    if not st.button(_("Ask"), type="primary", icon=":material/send:", disabled=not text.strip()):
        return
    with st.spinner(_("The first answer takes a while: the model is loaded.")):
        columns = st.columns(2 + bool(second) if beside else 1 + bool(second), gap="medium")
        place = iter(columns)
        _ask(one, text, beside, place)
        if second:
            _ask(known[second], text, False, place)


def _adapters(known: dict[str, ExperimentSummary]) -> tuple[str, str | None]:
    def title(each: str) -> str:
        one = known[each]
        score = f" · {formats.score(one.score)}" if one.score is not None else ""
        return f"{one.name}{score} · {formats.moment(one.created_at)}"

    ids = list(known)
    # Without an address the choice stays what it was: the newest may be another by now.
    before = st.session_state.get("id")
    shown = address.follow("id", ids, otherwise=before if before in ids else ids[0])
    left, right = st.columns(2)
    first = left.selectbox(
        _("Experiment"),
        ids,
        format_func=title,
        key="id",
        on_change=shown,
    )
    others = [each for each in ids if each != first and known[each].task == known[first].task]
    second = right.selectbox(
        _("Beside it"),
        others,
        index=None,
        format_func=title,
        key="with",
        on_change=address.follow("with", others),
        placeholder=_("no other"),
    )
    return str(first), second


def _text(one: ExperimentSummary) -> str:
    chat = form.writes_text(one.task)
    return str(
        st.text_area(
            _("What you say") if chat else _("Text"),
            key="try-text",
            height=120,
            placeholder=_("Is this review fresh or rotten? …")
            if chat
            else _("A film that stays with you."),
        )
    )


def _ask(one: ExperimentSummary, text: str, beside: bool, place: Any) -> None:
    chat = form.writes_text(one.task)
    asked: Any = {"messages": [{"role": "user", "content": text}]} if chat else text
    column = next(place)
    with column:
        try:
            told = session.client().predict(one.id, [asked], base=beside)
        except TunesmithError as error:
            trouble.tell(error)
            return
        _show(one.name, told.answers[0])
        st.caption(formats.duration(told.seconds))
    if beside:
        with next(place):
            _show_base(one, told)


def _show_base(one: ExperimentSummary, told: Predictions) -> None:
    title = _("{model}, untrained").format(model=words.model(one.model_name))
    if told.base:
        _show(title, told.base[0])
    else:
        st.markdown(f"**{as_it_is(title)}**")
        st.caption(
            _(
                "The base model has no answer of its own: what tells the labels apart is trained "
                "with the adapter."
            )
        )


def _told(answer: str | float | list[str] | list[Entity]) -> str:
    """An answer on one line, or a text as it is."""
    if isinstance(answer, float):
        return f"{answer:.4g}"
    if isinstance(answer, str):
        return answer
    told = [
        f"{one.text} ({one.label}, {one.score:.0%})" if isinstance(one, Entity) else one
        for one in answer
    ]
    return ", ".join(told) or _("nothing")


def _show(title: str, answer: PredictedAnswer) -> None:
    with st.container(border=True):
        st.markdown(f"**{as_it_is(title)}**")
        told = _told(answer.answer)
        st.markdown(f"### {as_it_is(told)}" if "\n" not in told else as_it_is(told))
        if answer.cut:
            st.caption(_("The text was longer than the model takes: its end was left out."))
        if answer.probabilities:
            rows = [
                {"label": label, "probability": value}
                for label, value in sorted(answer.probabilities.items(), key=lambda item: -item[1])[
                    :12
                ]
            ]
            chart = (
                alt.Chart(pl.DataFrame(rows), height=alt.Step(26))
                .mark_bar(cornerRadiusEnd=3)
                .encode(
                    x=alt.X(
                        "probability:Q",
                        title=_("probability"),
                        scale=alt.Scale(domain=[0, 1]),
                        axis=alt.Axis(format="%"),
                    ),
                    y=alt.Y("label:N", title=None, sort="-x"),
                    tooltip=[
                        alt.Tooltip("label:N", title=_("label")),
                        alt.Tooltip("probability:Q", title=_("probability"), format=".1%"),
                    ],
                )
            )
            st.altair_chart(chart)
