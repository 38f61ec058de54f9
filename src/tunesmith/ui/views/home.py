"""What is running now, what waits, what came of the last ones; and how to begin."""

from __future__ import annotations

import streamlit as st

from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.ui import formats, navigation, said, session, words
from tunesmith.ui.components import figures, lists, machines, starter
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.trouble import live

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
        starter.card()
        return
    running = client.experiments(status="running", limit=20).items
    queue = client.queue()
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(_("Running now"))
        if not running:
            st.caption(_("Nothing is being trained."))
        for one in running:
            lists.running(one)
        st.subheader(_("Last results"))
        ended = client.experiments(limit=50).items
        lists.results(
            [
                e
                for e in ended
                if e.status is not ExperimentStatus.RUNNING
                and e.status is not ExperimentStatus.QUEUED
            ][:LAST]
        )
    with right:
        st.subheader(_("Waiting"))
        waiting = sum(each.waiting for each in queue.queues)
        if not waiting:
            st.caption(_("Nothing waits."))
        else:
            st.caption(translate_number("{n} experiment", "{n} experiments", waiting))
        for one in queue.waiting[:8]:
            lists.waiting(one)
        if not queue.broker.live:
            st.caption(f":material/info: {said.text(queue.broker.message)}")
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
