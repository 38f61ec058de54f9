"""Datasets and their versions: what is in them, what is wrong with them, what changed."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.api.schemas.data import DatasetVersionState
from tunesmith.tasks.values import readable
from tunesmith.ui import formats, navigation, session
from tunesmith.ui.components import figures, findings
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is, code


def page() -> None:
    """Draw the list, or the dataset that the address names."""
    name = navigation.parameter("name")
    if name is None:
        _list()
    else:
        _dataset(name)


def _list() -> None:
    st.title(_("Data"))
    found = session.client().datasets().items
    if not found:
        st.info(
            _(
                "There are no datasets yet. Every training keeps the version of its data here; "
                "`tunesmith data import` adds one by hand."
            ),
            icon=":material/table:",
        )
    for one in found:
        with st.container(border=True, gap="xsmall"):
            navigation.link("data", one.name, icon=":material/table:", name=one.name)
            current = one.current
            st.caption(
                " · ".join(
                    [
                        translate_number("{n} version", "{n} versions", one.versions),
                        translate_number("{n} row", "{n} rows", current.rows),
                        formats.moment(current.created_at),
                        *([as_it_is(current.description)] if current.description else []),
                    ]
                )
            )


def _dataset(name: str) -> None:
    found = session.client().dataset(name)
    navigation.link("data", _("All datasets"), icon=":material/arrow_back:")
    st.title(as_it_is(name), anchor=False)
    numbers = [version.number for version in found.items]
    chosen = st.selectbox(
        _("Version"),
        numbers,
        format_func=lambda n: _version_title(found.items, n),
        key=f"version-{name}",
    )
    version = next(each for each in found.items if each.number == chosen)
    figures.row(
        "version",
        (_("Rows"), formats.number(version.rows)),
        *((_split(name).capitalize(), formats.number(n)) for name, n in version.splits.items()),
        (_("Labels"), formats.number(len(version.label_counts))),
    )
    facts = [code(version.reference), code(f"{version.hash[:19]}…"), as_it_is(version.source)]
    st.caption(" · ".join(facts))
    names = [_("Labels"), _("Problems"), _("Rows"), _("Changes")]
    tabs = st.tabs(names, on_change="rerun", key=f"data-tab-{name}")
    opened = [tab.open for tab in tabs]
    with tabs[0]:
        _labels(version)
    if opened[1]:
        with tabs[1]:
            findings.report(name, version.number)
    if opened[2]:
        with tabs[2]:
            _preview(version)
    if opened[3]:
        with tabs[3]:
            _changes(name, numbers, version.number)


def _version_title(versions: list[DatasetVersionState], number: int) -> str:
    version = next(each for each in versions if each.number == number)
    tags = f" · {', '.join(version.tags)}" if version.tags else ""
    return f"{version.reference} · {formats.moment(version.created_at)}{tags}"


def _split(name: str) -> str:
    return {
        "train": _("to train on"),
        "validation": _("held out"),
        "test": _("held out (test)"),
    }.get(name, name)


def _labels(version: DatasetVersionState) -> None:
    if not version.label_counts:
        st.caption(_("These data have no labels: whole answers are learned."))
        return
    table = pl.DataFrame(
        {"label": list(version.label_counts), "rows": list(version.label_counts.values())}
    ).sort("rows", descending=True)
    chart = (
        alt.Chart(table.head(40), height=alt.Step(26))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("rows:Q", title=_("rows")),
            y=alt.Y("label:N", sort="-x", title=None),
            tooltip=[
                alt.Tooltip("label:N", title=_("label")),
                alt.Tooltip("rows:Q", title=_("rows"), format=","),
            ],
        )
    )
    st.altair_chart(chart)


def _preview(version: DatasetVersionState) -> None:
    found = session.client().preview(version.name, version.number, rows=20)
    table = [
        {_("split"): _split(row.split), _("row"): row.row, **_texts(row.values)}
        for row in found.rows
    ]
    shown = pl.DataFrame(table, infer_schema_length=None, strict=False)
    st.dataframe(shown, hide_index=True, placeholder="")


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v if isinstance(v, str | int | float | None) else readable(v) for k, v in values.items()
    }


def _changes(name: str, numbers: list[int], new: int) -> None:
    others = [number for number in numbers if number != new]
    if not others:
        st.caption(_("There is one version: nothing to compare."))
        return
    default = max((n for n in others if n < new), default=others[0])
    old = st.selectbox(
        _("Compared with version"), others, index=others.index(default), key=f"old-{name}"
    )
    changes = session.client().compare(name, old, new).changes
    findings.changes(changes)
