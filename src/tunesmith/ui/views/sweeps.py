"""Sweeps: how far each is, its trials, what was found."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from tunesmith.schemas.enums import SweepStatus, TrialState
from tunesmith.schemas.sweeps import SweepState, SweepTrial, SweepWhole
from tunesmith.ui import formats, localized, navigation, words
from tunesmith.ui.components import sweep_charts
from tunesmith.ui.components.new import sweep_form
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is, code
from tunesmith.ui.visitor import session

CHOICES = 50
"""Of the newest sweeps."""

EVERY = "2s"
"""How often a sweep that runs is asked for."""


def page() -> None:
    """Draw the sweep that the address names, or the newest."""
    st.title(_("Sweeps"))
    known = session.client().sweeps(limit=CHOICES).items
    if not known:
        st.info(
            _("A sweep searches for the best setting, trial by trial. Begin one here, or with:"),
            icon=":material/tune:",
        )
        st.code("tunesmith sweep config/sweeps/starter.yaml", language="bash")
    sweep_form.panel(expanded=not known)
    if not known:
        return
    chosen = _choose(known)
    live = next((each for each in known if each.id == chosen), None)
    running = live is not None and live.status is SweepStatus.RUNNING
    st.fragment(_draw, run_every=EVERY if running else None)(chosen)


def _choose(known: Sequence[SweepState]) -> str:
    names = {each.id: f"{each.name} · {formats.moment(each.created_at)}" for each in known}
    asked = navigation.parameter("id")
    if asked and asked not in names:
        names[asked] = session.client().sweep(asked).name

    def keep() -> None:
        st.query_params["id"] = st.session_state["sweep-id"]

    ids = list(names)
    return str(
        st.selectbox(
            _("Sweep"),
            ids,
            index=ids.index(asked) if asked else 0,
            key="sweep-id",
            on_change=keep,
            format_func=lambda each: names[each],
        )
    )


def _draw(sweep_id: str) -> None:
    found = session.client().sweep(sweep_id)
    _head(found)
    _verdict(found)
    left, right = st.columns(2, gap="large")
    with left:
        sweep_charts.best_so_far(found)
    with right:
        sweep_charts.importance(found)
    sweep_charts.side_by_side(found)
    _trials(found)
    if found.status is SweepStatus.RUNNING and st.button(
        _("Cancel the sweep"), icon=":material/cancel:"
    ):
        session.client().cancel_sweep(sweep_id)
        st.rerun()


def _head(found: SweepWhole) -> None:
    done = sum(trial.state is not TrialState.RUNNING for trial in found.trials)
    pruned = sum(trial.state is TrialState.PRUNED for trial in found.trials)
    if found.status is SweepStatus.RUNNING:
        text = _("{done} of {total} trials have ended").format(done=done, total=found.total)
        st.progress(done / max(found.total, 1), text=text)
    if found.reason:
        st.warning(localized.text(found.reason), icon=":material/info:")
    best = None if found.best is None else found.trials[found.best]
    base = None if found.baseline is None else found.trials[found.baseline]
    columns = st.columns(4)
    columns[0].metric(_("Status"), _(found.status))
    columns[1].metric(_("Trials"), f"{len(found.trials)} / {found.total}")
    columns[2].metric(_("Pruned"), formats.number(pruned))
    if best is not None:
        change = None
        if base is not None and best.value is not None and base.value is not None:
            change = formats.signed(best.value - base.value)
        columns[3].metric(
            _("Best {metric}").format(metric=words.metric(found.metric)),
            formats.score(best.value),
            None if best is base else change,
            delta_color="inverse" if found.direction == "minimize" else "normal",
            help=_("The change is against the base configuration."),
        )


def _verdict(found: SweepWhole) -> None:
    if found.best is None:
        return
    best = found.trials[found.best]
    settings = ", ".join(
        f"{code(path)} {code(sweep_charts.shown(value))}" for path, value in best.parameters.items()
    )
    text = _("Best is trial {number}: {settings}").format(number=best.number, settings=settings)
    interval = formats.interval(best.low, best.high)
    if interval != formats.NOTHING:
        text += " · " + _("95 % interval {interval}").format(interval=interval)
    st.markdown(text)
    if (test := found.test) is not None:
        said = _("By the test side, which picked nothing: **{value}**, 95 % interval {interval}")
        ends = formats.interval(test.low, test.high)
        st.markdown(said.format(value=formats.score(test.value), interval=ends))
    if found.hint is not None:
        st.warning(localized.text(found.hint))
    if found.baseline == found.best:
        st.caption(_("No trial was better than the base configuration."))
    elif found.verdict is not None:
        st.caption(localized.text(found.verdict))
        st.caption(_("“The first” is the base configuration."))
        if test is None:
            said = _(
                "The best was chosen by the rows that judge it: on new rows expect a little less."
            )
            st.caption(said)
    navigation.link(
        "experiment", _("Open the best experiment"), icon=":material/science:",
        id=best.experiments[0],
    )  # fmt: skip


def _trials(found: SweepWhole) -> None:
    st.subheader(_("Trials"))
    rows = [
        {
            _("trial"): trial.number,
            _("state"): _state(trial),
            words.metric(found.metric): trial.value,
            _("95 % interval"): formats.interval(trial.low, trial.high),
            **{path: sweep_charts.shown(trial.parameters.get(path)) for path in found.parameters},
            _("experiment"): f"/experiment?id={trial.experiments[0]}",
        }
        for trial in found.trials
    ]
    st.dataframe(
        pl.DataFrame(rows),
        hide_index=True,
        column_config={
            words.metric(found.metric): st.column_config.NumberColumn(format="%.3f"),
            _("experiment"): st.column_config.LinkColumn(display_text=r"id=(.*)"),
        },
    )
    for trial in found.trials:
        if trial.state is TrialState.FAILED and trial.reason:
            st.caption(as_it_is(f"{trial.number}: ") + localized.text(trial.reason))


def _state(trial: SweepTrial) -> str:
    text = _(trial.state)
    if trial.state is TrialState.RUNNING:
        text += f" {formats.share(trial.progress)}"
    if trial.is_baseline:
        text += " · " + _("base configuration")
    return text
