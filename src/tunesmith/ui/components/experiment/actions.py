"""What can be done with an experiment, each with a confirmation where it can't be undone."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.schemas.experiments import ExperimentSummary, Submitted, TaskState
from tunesmith.ui import navigation, trouble
from tunesmith.ui.components import editing, registering
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

S = ExperimentStatus


def bar(one: ExperimentSummary) -> None:
    """The buttons that fit where the experiment stands and who looks at it."""
    with st.container(horizontal=True, gap="small"):
        if session.may_change(one.owner):
            _control(one)
        if session.may(Role.MEMBER):
            _again(one)
        if one.status is S.SUCCEEDED:
            _use(one)
        if session.may_change(one.owner):
            if st.button(_("Edit"), icon=":material/sell:", help=_("Its name, a note, tags.")):
                editing.ask(one)
            ended = one.status.is_finished
            if ended and st.button(_("Delete"), icon=":material/delete:"):
                _confirm_delete(one.id, one.name)


def _control(one: ExperimentSummary) -> None:
    """For who may change it: stop it, hurry it, take it up again."""
    client = session.client()
    if one.status.is_live:
        stopping = one.cancel_requested_at is not None
        if st.button(_("Cancel"), icon=":material/stop_circle:", disabled=stopping):
            _act(client.cancel, one.id)
    if (
        one.status is S.QUEUED
        and session.may(Role.ADMIN)
        and st.button(_("To the front"), icon=":material/vertical_align_top:")
    ):
        _act(client.move_to_front, one.id)
    if one.status not in (S.FAILED, S.CANCELLED):
        return
    note = _("Goes on from the newest checkpoint.")
    if st.button(_("Resume"), icon=":material/play_arrow:", type="primary", help=note):
        _act(client.resume, one.id)
    note = _("The same experiment again, from the start.")
    if st.button(_("Retry"), icon=":material/replay:", help=note):
        _act(client.retry, one.id)


def _again(one: ExperimentSummary) -> None:
    """For members: others like it."""
    note = _("A new experiment like this one.")
    if st.button(_("Rerun"), icon=":material/content_copy:", help=note):
        _act(session.client().rerun, one.id)
    note = _("A new experiment that begins with this configuration.")
    if st.button(_("Clone"), icon=":material/edit_note:", help=note):
        navigation.go("new", clone=one.id)
    note = _("A search for a better setting of this experiment.")
    if st.button(_("Sweep"), icon=":material/tune:", help=note):
        navigation.go("sweeps", vary=one.id)


def _use(one: ExperimentSummary) -> None:
    """What its adapter is good for."""
    if st.button(_("Try it"), icon=":material/chat:"):
        navigation.go("try", id=one.id)
    note = _("Give its adapter a name, or make it another version of one.")
    member = session.may(Role.MEMBER)
    if member and st.button(_("Register"), icon=":material/inventory_2:", help=note):
        registering.ask_register(one)
    if st.button(_("Compare"), icon=":material/compare_arrows:"):
        navigation.go("compare", ids=one.id)


def _act(call: Callable[[str], Submitted | TaskState], experiment_id: str) -> None:
    with trouble.shown():
        done = call(experiment_id)
        if isinstance(done, Submitted) and done.experiment_id != experiment_id:
            navigation.go("experiment", id=done.experiment_id)
        st.rerun()


def _confirm_delete(experiment_id: str, name: str) -> None:
    @st.dialog(_("Delete this experiment?"))
    def ask() -> None:
        text = _("**{name}** with its metrics, log and adapter. This can't be undone.")
        st.write(text.format(name=as_it_is(name)))
        with st.container(horizontal=True):
            if st.button(_("Delete"), type="primary", icon=":material/delete_forever:"):
                with trouble.shown():
                    session.client().delete(experiment_id, confirm=name)
                    navigation.go("experiments")
            if st.button(_("Keep it")):
                st.rerun()

    ask()
