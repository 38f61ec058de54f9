"""What can be done with several experiments at once; and the list as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from tunesmith.client import Client
from tunesmith.errors import TunesmithError
from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.ui import localized, navigation
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session
from tunesmith.values import no_formula

PAGE = 1000
"""Experiments that are asked for at once."""

COLUMNS = (
    "id", "name", "status", "task", "model_name", "dataset_name", "dataset_hash", "score_name",
    "score", "eval_accuracy", "train_runtime", "created_at", "started_at", "finished_at", "owner",
    "reason", "note", "tags",
)  # fmt: skip
"""Of the exported list."""


def bar(chosen: Sequence[ExperimentSummary], filters: Mapping[str, Any]) -> None:
    """Buttons for the `chosen`, and the download of all that pass the `filters`."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if chosen:
            st.markdown(f"**{translate_number('{n} chosen', '{n} chosen', len(chosen))}**")
            several, icon = len(chosen) > 1, ":material/compare_arrows:"
            if several and st.button(_("Compare"), icon=icon, type="primary"):
                navigation.go("compare", ids=",".join(e.id for e in reversed(chosen)))
            own = [each for each in chosen if session.may_change(each.owner)]
            live = [each for each in own if each.status.is_live]
            ended = [each for each in own if each.status.is_finished]
            if live and st.button(_("Cancel"), icon=":material/stop_circle:"):
                _each(live, lambda e: session.client().cancel(e.id))
            if ended and st.button(_("Delete"), icon=":material/delete:"):
                _confirm(ended)
        else:
            st.caption(_("Choose experiments by the boxes on the left."))
        client = session.client()  # when the file is made, Streamlit doesn't say who visits
        st.download_button(
            _("Export as CSV"),
            lambda: export(client, filters),
            file_name="experiments.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def export(client: Client, filters: Mapping[str, Any]) -> bytes:
    """All experiments that pass `filters`, as CSV; no cell is run by a spreadsheet."""
    offset = 0
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(COLUMNS)
    while True:
        found = client.experiments(**filters, limit=PAGE, offset=offset)
        for one in found.items:
            writer.writerow([_cell(getattr(one, name)) for name in COLUMNS])
        offset += PAGE
        if offset >= found.total:
            return output.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    """The value; text that begins as a formula does gets an apostrophe before it."""
    value = "; ".join(value) if isinstance(value, list) else value
    return no_formula(value) if isinstance(value, str) else value


def _confirm(chosen: Sequence[ExperimentSummary]) -> None:
    @st.dialog(_("Delete these experiments?"))
    def ask() -> None:
        st.write(_("With their metrics, logs and adapters. This can't be undone."))
        for one in chosen[:10]:
            st.markdown(f"- {as_it_is(one.name)}")
        if len(chosen) > 10:
            st.caption(_("… and {n} more").format(n=len(chosen) - 10))
        with st.container(horizontal=True):
            if st.button(_("Delete"), type="primary", icon=":material/delete_forever:"):
                _each(chosen, lambda e: session.client().delete(e.id, confirm=e.name))
            if st.button(_("Keep them")):
                st.rerun()

    ask()


def _each(chosen: Sequence[ExperimentSummary], act: Callable[[ExperimentSummary], object]) -> None:
    """Act on each; what doesn't work is said, and the rest is done."""
    failed = False
    for one in chosen:
        try:
            act(one)
        except TunesmithError as error:
            st.error(f"{as_it_is(one.name)}: {localized.text(str(error))}")
            failed = True
    if not failed:
        st.rerun()
