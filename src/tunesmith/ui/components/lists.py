"""Experiments in short: a running one, one that waits, the last results."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tunesmith.api.schemas.experiments import ExperimentSummary
from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.ui import formats, navigation, words
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is


def running(one: ExperimentSummary) -> None:
    """Name, phase, progress and time left."""
    with st.container(border=True, gap="xsmall"):
        navigation.link("experiment", one.name, icon=":material/play_circle:", id=one.id)
        doing = words.phase(one.phase)
        if one.cancel_requested_at is not None:
            doing = _("stopping, a checkpoint is saved")
        elif one.time_left:
            left = formats.duration(one.time_left)
            doing = _("{phase}, about {time} left").format(phase=doing, time=left)
        st.progress(
            min(max(one.progress, 0.0), 1.0), text=f"{doing} · {formats.share(one.progress)}"
        )
        st.caption(as_it_is(f"{words.model(one.model_name)} · {words.dataset(one.dataset_name)}"))


def waiting(one: ExperimentSummary) -> None:
    """Place and name."""
    place = f"{one.position}." if one.position else "·"
    navigation.link("experiment", f"{place} {one.name}", id=one.id)


def results(found: Sequence[ExperimentSummary]) -> None:
    """Name, outcome, score and age of each."""
    if not found:
        st.caption(_("No experiment has ended yet."))
    for one in found:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            icon = words.ICONS[one.status]
            navigation.link("experiment", one.name, icon=icon, id=one.id)
            st.caption(outcome(one))


def outcome(one: ExperimentSummary) -> str:
    """What came of an ended experiment, in a line."""
    when = formats.ago(one.finished_at)
    if one.status is ExperimentStatus.SUCCEEDED and one.score is not None:
        return f"{words.metric(one.score_name)} **{formats.score(one.score)}** · {when}"
    return f"{words.status(one.status)} · {when}"
