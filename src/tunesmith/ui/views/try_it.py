"""Type a text, and see what an adapter makes of it, beside its base model and another adapter."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.errors import TunesmithError
from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.schemas.predict import Entity, PredictedAnswer, Predictions
from tunesmith.ui import address, formats, navigation, trouble, words
from tunesmith.ui.components import charts
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

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
    first = left.selectbox(_("Experiment"), ids, format_func=title, key="id", on_change=shown)
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
    label, example = _("Text"), _("A film that stays with you.")
    if form.writes_text(one.task):
        label, example = _("What you say"), _("Is this review fresh or rotten? …")
    return str(st.text_area(label, key="try-text", height=120, placeholder=example))


def _ask(one: ExperimentSummary, text: str, beside: bool, place: Any) -> None:
    chat = form.writes_text(one.task)
    asked: Any = {"messages": [{"role": "user", "content": text}]} if chat else text
    with next(place):
        try:
            given = session.client().predict(one.id, [asked], base=beside)
        except TunesmithError as error:
            trouble.tell(error)
            return
        _show(one.name, given.answers[0])
        st.caption(formats.duration(given.seconds))
    if beside:
        with next(place):
            _show_base(one, given)


def _show_base(one: ExperimentSummary, given: Predictions) -> None:
    title = _("{model}, untrained").format(model=words.model(one.model_name))
    if given.base:
        _show(title, given.base[0])
    else:
        st.markdown(f"**{as_it_is(title)}**")
        st.caption(
            _(
                "The base model has no answer of its own: what tells the labels apart is trained "
                "with the adapter."
            )
        )


def _in_words(answer: str | float | list[str] | list[Entity] | None) -> str:
    """An answer on one line, or a text as it is."""
    if answer is None:
        return _("not sure enough to answer")
    if isinstance(answer, float):
        return f"{answer:.4g}"
    if isinstance(answer, str):
        return answer
    items = [
        f"{one.text} ({one.label}, {one.score:.0%})" if isinstance(one, Entity) else one
        for one in answer
    ]
    return ", ".join(items) or _("nothing")


def _show(title: str, answer: PredictedAnswer) -> None:
    with st.container(border=True):
        st.markdown(f"**{as_it_is(title)}**")
        text = _in_words(answer.answer)
        st.markdown(f"### {as_it_is(text)}" if "\n" not in text else as_it_is(text))
        if answer.cut:
            st.caption(_("The text was longer than the model takes: its end was left out."))
        if answer.probabilities:
            _probabilities(answer.probabilities)


def _probabilities(found: dict[str, float]) -> None:
    """Those of the 12 likeliest labels."""
    table = pl.DataFrame({"label": list(found), "probability": list(found.values())})
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(format="%")
    share = alt.X("probability:Q", title=_("probability"), scale=scale, axis=axis)
    exact = alt.Tooltip("probability:Q", title=_("probability"), format=".1%")
    charts.bars(table.sort("probability", descending=True).head(12), share, exact)
