"""What an experiment was made of: configuration, plan, data, files."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import polars as pl
import streamlit as st
import yaml

from tunesmith.errors import NotFoundError
from tunesmith.schemas.experiments import ExperimentWhole
from tunesmith.ui import formats, localized, navigation, words
from tunesmith.ui.components import findings
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

ADAPTER = "artifacts/final_model/"
CARD = ADAPTER + "README.md"
REPORT = "data_report.json"

LARGE = 4_000_000
"""Bytes of a report that isn't read for the page."""

FINDINGS = 200
"""Rows of the data's report that are shown."""


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
    columns = {"setting": _("setting"), "value": _("value"), "reason": _("reason")}
    table = {
        title: [localized.plain(str(choice.get(name))) for choice in choices]
        for name, title in columns.items()
    }
    st.dataframe(pl.DataFrame(table), hide_index=True)
    where = whole.environment.get("hardware") or {}
    if where:
        st.caption(as_it_is(" · ".join(_fact(name, value) for name, value in where.items())))


def _fact(name: str, value: Any) -> str:
    """A fact of the machine, in words."""
    match name:
        case "processor":
            return str(value)
        case "cores":
            return translate_number("{n} core", "{n} cores", int(value))
        case "memory_bytes":
            return _("{size} memory").format(size=formats.size(value))
        case _:
            return f"{name}: {value}"


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
            _("side"): [words.side(name) for name in splits],
            _("rows"): [side.get("rows") for side in splits.values()],
            _("hash"): [str(side.get("hash", ""))[:19] + "…" for side in splits.values()],
        }
        counted = st.column_config.NumberColumn(format="localized")
        st.dataframe(pl.DataFrame(table), hide_index=True, column_config={_("rows"): counted})
    _report(whole)


def _report(whole: ExperimentWhole) -> None:
    """What the rules found in the data when it was trained."""
    sizes = {entry.path: entry.size for entry in session.client().files(whole.id).files}
    if sizes.get(REPORT, 0) > LARGE:
        st.caption(_("The report of the data is long: it is among the files."))
        return
    text = _read(whole, REPORT)
    if text is None:
        return
    report = json.loads(text)
    st.markdown(f"**{findings.usable(report)}**")
    findings.reading(report)
    findings.rules(report["rules"])
    findings.rows(report["findings"][:FINDINGS], len(report["findings"]))


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
        card = _read(whole, CARD)
        if code := _code_of(card or ""):
            st.caption(_("Load it in Python, beside the folder final_model:"))
            st.code(code, language="python")
        _exports(whole)
    with st.container(gap="xsmall"):
        for entry in found:
            place = quote(f"/download/experiments/{whole.id}/files/{entry.path}")
            navigation.anchor(place, entry.path, formats.size(entry.size))
    if not found:
        st.caption(_("There are no files yet."))


def _exports(whole: ExperimentWhole) -> None:
    """The commands that give the adapter in other forms."""
    with st.expander(_("Export it in another form")):
        for each in session.client().exporters().items:
            needed = [f"--{o.name} {o.metavar or ''}".strip() for o in each.options if o.required]
            st.caption(_(each.summary))
            command = " ".join(["tunesmith export", whole.id, "--to", each.name, *needed])
            st.code(command, language="bash")


def _read(whole: ExperimentWhole, path: str) -> str | None:
    """A small file of the experiment; None where there is none. Kept while its record is."""
    kept: dict[tuple[str, str, str], str | None] = st.session_state.setdefault("_files", {})
    key = (whole.id, str(whole.finished_at), path)
    if key not in kept:
        try:
            kept[key] = session.client().read(whole.id, path).decode("utf-8")
        except NotFoundError:
            kept[key] = None
    return kept[key]


def _code_of(card: str) -> str:
    """The first piece of Python in a model card; nothing where there is none."""
    code, fence, _after = card.partition("```python\n")[2].partition("\n```")
    return code.strip() if fence else ""
