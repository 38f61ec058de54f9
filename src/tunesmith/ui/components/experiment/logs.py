"""The log of an experiment: its end, as it grows, with search."""

from __future__ import annotations

import streamlit as st

from tunesmith.ui import navigation
from tunesmith.ui.language import _
from tunesmith.ui.trouble import live as redrawn
from tunesmith.ui.visitor import session

TAIL = 300
"""Lines that are shown."""


def panel(experiment_id: str, *, live: bool) -> None:
    """The last lines, with a field to search in them."""
    st.text_input(
        _("Search in the log"),
        key=f"log-{experiment_id}",
        type="search",
        live=True,
        placeholder=_("loss, warning …"),
        label_visibility="collapsed",
    )
    (redrawn(2.0)(_lines) if live else _lines)()


def _lines() -> None:
    experiment_id = navigation.parameter("id")
    if experiment_id is None:
        return
    lines = session.client().logs(experiment_id, tail=TAIL).text.splitlines()
    wanted = str(st.session_state.get(f"log-{experiment_id}") or "").lower()
    if wanted:
        lines = [line for line in lines if wanted in line.lower()]
    if not lines:
        st.caption(_("No line has this.") if wanted else _("The log is empty yet."))
        return
    st.code("\n".join(lines), language=None, height=420, wrap_lines=True)
    st.caption(_("The last {n} lines at most.").format(n=TAIL))
