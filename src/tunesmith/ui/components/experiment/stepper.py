"""The steps of an experiment, from submitted to verified, and where it stands."""

from __future__ import annotations

from html import escape

import streamlit as st

from tunesmith.schemas.experiments import TaskState, TaskStatus
from tunesmith.ui import formats
from tunesmith.ui.language import _

PHASES = ("preparing data", "loading model", "training", "evaluating", "saving", "verifying")


def stepper(state: TaskState) -> None:
    """Draw the steps of the experiment that `state` is of."""
    labels = [_("submitted"), _("waiting"), *(_(phase) for phase in PHASES[:-1]), _("verified")]
    now = current(state)
    bad = state.status in (TaskStatus.FAILURE, TaskStatus.REVOKED)
    items = []
    for number, label in enumerate(labels):
        kind, note, mark = "", "", ""
        if number < now or state.status is TaskStatus.SUCCESS:
            kind, mark = "done", "✓ "
        elif number == now:
            kind = "bad" if bad else "now"
            mark = "✕ " if bad else "● "
            note = _note(state)
        items.append(
            f'<li class="{kind}">{mark}{escape(label)}'
            + (f"<small>{escape(note)}</small>" if note else "")
            + "</li>"
        )
    current_label = labels[min(now, len(labels) - 1)]
    st.html(
        f'<ol class="ts-steps" aria-label="{escape(_("Progress"))}: {escape(current_label)}">'
        + "".join(items)
        + "</ol>"
    )


def current(state: TaskState) -> int:
    """Number of the step at which the experiment is, or ended."""
    if state.status is TaskStatus.PENDING:
        return 1
    if state.phase in PHASES:
        return 2 + PHASES.index(state.phase)
    return 2 if state.status is TaskStatus.STARTED else 1


def _note(state: TaskState) -> str:
    if state.status is TaskStatus.PENDING and state.position:
        return _("number {place} in the queue").format(place=state.position)
    if state.status is TaskStatus.STARTED and state.phase == "training":
        share = formats.share(state.progress)
        if state.time_left:
            return _("{share}, about {time} left").format(
                share=share, time=formats.duration(state.time_left)
            )
        return share
    return ""
