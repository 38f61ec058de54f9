"""What works for us: workers and their devices, the queues, health; for admins tokens and audit."""

from __future__ import annotations

import polars as pl
import streamlit as st

from tunesmith.schemas.enums import Role
from tunesmith.ui import formats, localized, navigation, trouble, words
from tunesmith.ui.components import machines, tokens
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.trouble import live
from tunesmith.ui.visitor import session

AUDIT = 100
"""Entries of the audit trail that are shown."""


def page() -> None:
    """Draw it."""
    st.title(_("System"))
    names = [_("Now"), _("Queues")]
    if session.may(Role.ADMIN):
        names += [_("Access tokens"), _("Who did what")]
    tabs = st.tabs(names)
    with tabs[0]:
        _now()
    with tabs[1]:
        _queues()
    if session.may(Role.ADMIN):
        with tabs[2]:
            tokens.panel()
        with tabs[3]:
            _audit()


@live(2.0)
def _now() -> None:
    client = session.client()
    ready = client.ready()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(_("Health"))
        for title, part in ((_("Store"), ready.store), (_("Broker"), ready.broker)):
            icon = ":green[:material/check_circle:]" if part.ok else ":red[:material/error:]"
            st.markdown(f"{icon} **{title}**")
            st.caption(localized.text(part.message))
    with right:
        st.subheader(_("Workers"))
        machines.overview(client.workers().items)


@live(2.0)
def _queues() -> None:
    client = session.client()
    found = client.queue()
    for queue in found.queues:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{queue.name}**")
            waiting, running = formats.number(queue.waiting), formats.number(queue.running)
            st.caption(_("{waiting} wait, {running} run").format(waiting=waiting, running=running))
            if queue.paused:
                who = as_it_is(queue.paused_by or "?")
                st.badge(_("paused by {who}").format(who=who), color="orange")
            if session.may(Role.ADMIN):
                label = _("Let it go on") if queue.paused else _("Pause")
                icon = ":material/play_arrow:" if queue.paused else ":material/pause:"
                if st.button(label, key=f"queue-{queue.name}", icon=icon):
                    (client.continue_ if queue.paused else client.pause)(queue.name)
                    st.rerun(scope="fragment")
    if not found.waiting:
        st.caption(_("Nothing waits."))
    for one in found.waiting:
        with st.container(horizontal=True, vertical_alignment="center"):
            place = f"{one.position or '·'}. {one.name} · {one.queue}"
            navigation.link("experiment", place, id=one.id)
            if not session.may(Role.ADMIN) or one.position == 1:
                continue
            label, icon = _("To the front"), ":material/vertical_align_top:"
            if st.button(label, key=f"front-{one.id}", type="tertiary", icon=icon):
                with trouble.shown():
                    client.move_to_front(one.id)
                st.rerun(scope="fragment")


def _audit() -> None:
    found = session.client().audit(limit=AUDIT).items
    if not found:
        st.caption(_("Nothing was done yet."))
        return
    table = {
        _("when"): [formats.moment(entry.at) for entry in found],
        _("who"): [entry.actor for entry in found],
        _("what"): [words.action(entry.action) for entry in found],
        _("to what"): [entry.target for entry in found],
        _("address"): [entry.address for entry in found],
    }
    st.dataframe(pl.DataFrame(table), hide_index=True)
