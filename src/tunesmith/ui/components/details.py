"""What an experiment was made of: configuration, plan, data, files."""

from __future__ import annotations

from urllib.parse import quote

import polars as pl
import streamlit as st
import yaml

from tunesmith.api.schemas.experiments import ExperimentWhole
from tunesmith.ui import formats, navigation, said, session
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is

ADAPTER = "artifacts/final_model/"


def configuration(whole: ExperimentWhole) -> None:
    """The complete configuration, and how to repeat it."""
    text = yaml.safe_dump(whole.config, sort_keys=False, allow_unicode=True)
    st.code(text, language="yaml", height=480)
    st.caption(_("Repeat it on the command line:"))
    st.code(f"tunesmith experiments rerun {whole.id}", language="bash")


def plan(whole: ExperimentWhole) -> None:
    """How the machine ran it, and why."""
    choices = whole.plan.get("choices") or []
    if not choices:
        st.caption(_("The plan is made when training begins."))
        return
    table = {
        _("setting"): [said.plain(str(choice.get("setting"))) for choice in choices],
        _("value"): [said.plain(str(choice.get("value"))) for choice in choices],
        _("reason"): [said.plain(str(choice.get("reason"))) for choice in choices],
    }
    st.dataframe(pl.DataFrame(table), hide_index=True)
    where = whole.environment.get("hardware") or {}
    if where:
        st.caption(as_it_is(" · ".join(f"{name}: {value}" for name, value in where.items())))


def data(whole: ExperimentWhole) -> None:
    """Which data it was trained on and judged by."""
    if not whole.data:
        st.caption(_("The data are read when it is taken from the queue."))
        return
    st.markdown(f"**{as_it_is(whole.dataset_name)}**")
    if whole.dataset_hash:
        st.code(whole.dataset_hash, language=None)
    splits = whole.data.get("splits") or {}
    if splits:
        table = {
            _("side"): list(splits),
            _("rows"): [side.get("rows") for side in splits.values()],
            _("hash"): [str(side.get("hash", ""))[:19] + "…" for side in splits.values()],
        }
        st.dataframe(pl.DataFrame(table), hide_index=True)


def files(whole: ExperimentWhole) -> None:
    """Every file, to download; the adapter as one archive."""
    found = session.client().files(whole.id).files
    if any(entry.path.startswith(ADAPTER) for entry in found):
        st.link_button(
            _("Download the adapter"),
            f"/download/experiments/{whole.id}/adapter",
            icon=":material/download:",
            type="primary",
        )
    for entry in found:
        place = quote(f"/download/experiments/{whole.id}/files/{entry.path}")
        navigation.anchor(place, entry.path, formats.size(entry.size))
    if not found:
        st.caption(_("There are no files yet."))
