"""One experiment: where it stands, what it measured, what came of it, what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import ExperimentWhole
from tunesmith.ui import formats, localized, navigation, words
from tunesmith.ui.components import charts, editing
from tunesmith.ui.components.experiment import actions, details, logs, results
from tunesmith.ui.components.experiment.stepper import stepper
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.trouble import live
from tunesmith.ui.visitor import session

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
            localized.text(whole.reason or "") or _("It failed without a word."),
            icon=":material/error:",
        )
        st.caption(_("Resume goes on from the newest checkpoint, retry begins from the start."))
    elif whole.status is S.CANCELLED and whole.reason:
        st.warning(localized.text(whole.reason), icon=":material/cancel:")
    if whole.status is S.SUCCEEDED:
        results.verdict(whole)
        if whole.reason:  # such as a damaged checkpoint on the way
            st.warning(localized.text(whole.reason), icon=":material/info:")
    is_live = whole.status.is_live
    parts: dict[str, Callable[[], None]] = {
        _("Curves"): live(2.0)(_curves) if is_live else _curves,
        _("Log"): lambda: logs.panel(experiment_id, live=is_live),
        _("Configuration"): lambda: details.configuration(whole),
        _("Plan"): lambda: details.plan(whole),
        _("Data"): lambda: details.data(whole),
        _("Files"): lambda: details.files(whole),
    }
    if whole.status is S.SUCCEEDED:
        parts = {_("Results"): lambda: results.details(whole), **parts}
    for tab, draw in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            draw()


def _head(whole: ExperimentWhole) -> None:
    st.title(as_it_is(whole.name), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        status = whole.status
        st.badge(words.status(status), icon=words.ICONS[status], color=words.COLORS[status])
        facts = [
            words.task(whole.task),
            words.model(whole.model_name),
            words.dataset(whole.dataset_name),
            formats.moment(whole.created_at),
            whole.owner,
        ]
        st.caption(as_it_is(" · ".join(filter(None, facts))))
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
        text = _(state.phase or "")
        if state.cancelling:
            text = _("stopping, a checkpoint is saved")
        st.progress(min(max(state.progress, 0.0), 1.0), text=text)
    if state.restarts or state.reason:
        reason = localized.text(state.reason or "") or _("It was put back into the queue.")
        st.info(reason, icon=":material/restart_alt:")


def _curves() -> None:
    experiment_id = navigation.parameter("id")
    if experiment_id is None:
        return
    found = session.client().metrics(experiment_id, points=500).metrics
    if not found:
        st.caption(_("Nothing was measured yet."))
        return
    charts.metrics(found)
