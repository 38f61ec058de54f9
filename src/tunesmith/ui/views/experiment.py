"""One experiment: where it stands, what it measured, what came of it, what can be done with it."""

from __future__ import annotations

import streamlit as st

from tunesmith.api.schemas.experiments import ExperimentWhole
from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.ui import formats, navigation, said, session, words
from tunesmith.ui.components import actions, charts, details, editing, logs, results
from tunesmith.ui.components.stepper import stepper
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.trouble import live

S = ExperimentStatus


def page() -> None:
    """Draw the experiment whose id stands in the address."""
    experiment_id = navigation.parameter("id")
    if experiment_id is None:
        st.info(_("Choose an experiment."), icon=":material/science:")
        navigation.link("experiments", _("To the experiments"))
        return
    whole = session.client().experiment(experiment_id)
    _head(whole)
    if whole.status.is_live:
        _progress()
    else:
        stepper(session.client().task(experiment_id))
    if whole.status is S.FAILED:
        st.error(
            said.text(whole.reason or "") or _("It failed without a word."),
            icon=":material/error:",
        )
        st.caption(_("Resume goes on from the newest checkpoint, retry begins from the start."))
    elif whole.status is S.CANCELLED and whole.reason:
        st.warning(said.text(whole.reason), icon=":material/cancel:")
    if whole.status is S.SUCCEEDED:
        results.verdict(whole)
        if whole.reason:  # such as a damaged checkpoint on the way
            st.warning(said.text(whole.reason), icon=":material/info:")
    names = [_("Curves"), _("Log"), _("Configuration"), _("Plan"), _("Data"), _("Files")]
    if whole.status is S.SUCCEEDED:
        names.insert(0, _("Results"))
    tabs = dict(zip(names, st.tabs(names), strict=True))
    if whole.status is S.SUCCEEDED:
        with tabs[_("Results")]:
            results.details(whole)
    with tabs[_("Curves")]:
        if whole.status.is_live:
            _live_curves()
        else:
            _curves()
    with tabs[_("Log")]:
        logs.panel(experiment_id, live=whole.status.is_live)
    with tabs[_("Configuration")]:
        details.configuration(whole)
    with tabs[_("Plan")]:
        details.plan(whole)
    with tabs[_("Data")]:
        details.data(whole)
    with tabs[_("Files")]:
        details.files(whole)


def _head(whole: ExperimentWhole) -> None:
    st.title(as_it_is(whole.name), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(
            words.status(whole.status),
            icon=words.ICONS[whole.status],
            color=words.COLORS[whole.status],
        )
        st.caption(
            as_it_is(
                " · ".join(
                    [
                        words.task(whole.task),
                        words.model(whole.model_name),
                        words.dataset(whole.dataset_name),
                        formats.moment(whole.created_at),
                        *([whole.owner] if whole.owner else []),
                    ]
                )
            )
        )
    editing.show(whole)
    actions.bar(whole)


@live(2.0)
def _progress() -> None:
    experiment_id = navigation.parameter("id")
    if experiment_id is None:
        return
    state = session.client().task(experiment_id)
    if words.OF_TASK[state.status].is_finished:
        st.rerun()  # the whole page: it has more to show now
    stepper(state)
    if state.status == "STARTED":
        text = words.phase(state.phase)
        if state.cancelling:
            text = _("stopping, a checkpoint is saved")
        st.progress(min(max(state.progress, 0.0), 1.0), text=text)
    if state.restarts or state.reason:
        told = said.text(state.reason or "") or _("It was put back into the queue.")
        st.info(told, icon=":material/restart_alt:")


@live(2.0)
def _live_curves() -> None:
    _curves()


def _curves() -> None:
    experiment_id = navigation.parameter("id")
    if experiment_id is None:
        return
    found = session.client().metrics(experiment_id, points=500).metrics
    if not found:
        st.caption(_("Nothing was measured yet."))
        return
    charts.metrics(found)
