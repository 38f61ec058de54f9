"""What is running now, what waits, what came of the last ones; and how to begin."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.ui import formats, localized, navigation, trouble, words
from tunesmith.ui.components import figures, machines
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.trouble import live
from tunesmith.ui.visitor import session

LAST = 6
"""Results that are shown."""


def page() -> None:
    """Draw it."""
    st.title(_("Home"))
    _overview()


@live(2.0)
def _overview() -> None:
    client = session.client()
    stats = client.stats()
    if stats.total == 0:
        _starter()
        return
    running = client.experiments(status="running", limit=20).items
    queue = client.queue()
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(_("Running now"))
        if not running:
            st.caption(_("Nothing is being trained."))
        for one in running:
            _running(one)
        st.subheader(_("Last results"))
        ended = [each for each in client.experiments(limit=50).items if each.status.is_finished]
        _results(ended[:LAST])
    with right:
        st.subheader(_("Waiting"))
        waiting = sum(each.waiting for each in queue.queues)
        counted = translate_number("{n} experiment", "{n} experiments", waiting)
        st.caption(counted if waiting else _("Nothing waits."))
        for one in queue.waiting[:8]:
            _waiting(one)
        if not queue.broker.live:
            st.caption(f":material/info: {localized.text(queue.broker.message)}")
        st.subheader(_("Machines"))
        machines.overview(client.workers().items)
        st.subheader(_("All experiments"))
        succeeded = ExperimentStatus.SUCCEEDED
        figures.row(
            "all",
            (_("Experiments"), formats.number(stats.total)),
            (_("Best accuracy"), formats.score(stats.best_accuracy)),
            (words.status(succeeded).capitalize(), formats.number(stats.by_status[succeeded])),
            (_("Time of all trainings"), formats.duration(stats.total_runtime)),
        )
        navigation.link("experiments", _("All experiments"), icon=":material/arrow_forward:")


def _starter() -> None:
    """What a first visitor sees: one click trains the starter experiment."""
    with st.container(border=True):
        st.subheader(_("Your first experiment"))
        st.write(
            _(
                "A small language model learns to tell good film reviews from bad ones: 4,000 "
                "reviews, about a minute on two processor cores. Model and data are installed "
                "already; nothing is fetched."
            )
        )
        if not session.may(Role.MEMBER):
            st.caption(_("You may look at everything here, but not train."))
            return
        if st.button(_("Train the starter"), type="primary", icon=":material/play_arrow:"):
            with trouble.shown():
                submitted = session.client().train(session.client().presets().items[0].config)
                navigation.go("experiment", id=submitted.experiment_id)


def _running(one: ExperimentSummary) -> None:
    """Name, phase, progress and time left."""
    with st.container(border=True, gap="xsmall"):
        navigation.link("experiment", one.name, icon=":material/play_circle:", id=one.id)
        doing = _(one.phase or "")
        if one.cancel_requested_at is not None:
            doing = _("stopping, a checkpoint is saved")
        elif one.time_left:
            left = formats.duration(one.time_left)
            doing = _("{phase}, about {time} left").format(phase=doing, time=left)
        done = min(max(one.progress, 0.0), 1.0)
        st.progress(done, text=f"{doing} · {formats.share(one.progress)}")
        st.caption(as_it_is(f"{words.model(one.model_name)} · {words.dataset(one.dataset_name)}"))


def _waiting(one: ExperimentSummary) -> None:
    """Place and name."""
    place = f"{one.position}." if one.position else "·"
    navigation.link("experiment", f"{place} {one.name}", id=one.id)


def _results(found: Sequence[ExperimentSummary]) -> None:
    """Name, outcome, score and age of each."""
    if not found:
        st.caption(_("No experiment has ended yet."))
    for one in found:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            icon = words.ICONS[one.status]
            navigation.link("experiment", one.name, icon=icon, id=one.id)
            st.caption(_outcome(one))


def _outcome(one: ExperimentSummary) -> str:
    """What came of an ended experiment, in a line."""
    when = formats.ago(one.finished_at)
    if one.status is ExperimentStatus.SUCCEEDED and one.score is not None:
        return f"{words.metric(one.score_name)} **{formats.score(one.score)}** · {when}"
    return f"{words.status(one.status)} · {when}"
