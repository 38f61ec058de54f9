"""Datasets and their versions: what is in them, what is wrong with them, what changed."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.schemas.data import DatasetVersionState
from tunesmith.ui import formats, navigation, words
from tunesmith.ui.components import charts, figures, findings, row_tokens
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is, code
from tunesmith.ui.visitor import session


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
            facts = [
                translate_number("{n} version", "{n} versions", one.versions),
                translate_number("{n} row", "{n} rows", current.rows),
                formats.moment(current.created_at),
                as_it_is(current.description),
            ]
            st.caption(" · ".join(filter(None, facts)))


def _dataset(name: str) -> None:
    found = session.client().dataset(name)
    navigation.link("data", _("All datasets"), icon=":material/arrow_back:")
    st.title(as_it_is(name), anchor=False)
    versions = {each.number: each for each in found.items}

    def title(number: int) -> str:
        one = versions[number]
        tags = f" · {', '.join(one.tags)}" if one.tags else ""
        return f"{one.reference} · {formats.moment(one.created_at)}{tags}"

    numbers, key = list(versions), f"version-{name}"
    version = versions[st.selectbox(_("Version"), numbers, format_func=title, key=key)]
    figures.row(
        "version",
        (_("Rows"), formats.number(version.rows)),
        *((words.side(name).capitalize(), formats.number(n)) for name, n in version.splits.items()),
        (_("Labels"), formats.number(len(version.label_counts))),
    )
    facts = [code(version.reference), code(f"{version.hash[:19]}…"), as_it_is(version.source)]
    st.caption(" · ".join(facts))
    findings.lines(version.report.get("reading", ()))
    names = [_("Labels"), _("Problems"), _("Rows"), _("Tokens"), _("Changes")]
    tabs = st.tabs(names, on_change="rerun", key=f"data-tab-{name}")
    opened = [True, *(tab.open for tab in tabs[1:])]
    draws: tuple[Callable[[], None], ...] = (
        lambda: _labels(version),
        lambda: findings.report(name, version.number),
        lambda: _preview(version),
        lambda: _tokens(version),
        lambda: _changes(name, numbers, version.number),
    )
    for tab, is_open, draw in zip(tabs, opened, draws, strict=True):
        if is_open:
            with tab:
                draw()


def _labels(version: DatasetVersionState) -> None:
    if not version.label_counts:
        st.caption(_("These data have no labels: whole answers are learned."))
        return
    table = pl.DataFrame(
        {"label": list(version.label_counts), "rows": list(version.label_counts.values())}
    ).sort("rows", descending=True)
    count = alt.Tooltip("rows:Q", title=_("rows"), format=",")
    charts.bars(table.head(40), alt.X("rows:Q", title=_("rows")), count)


def _preview(version: DatasetVersionState) -> None:
    found = session.client().preview(version.name, version.number, rows=20)
    findings.show_rows(
        {_("split"): words.side(row.split), _("row"): row.row, **row.values} for row in found.rows
    )


def _tokens(version: DatasetVersionState) -> None:
    """A row as a base model sees it, for a task: the one that the version was kept for at first."""
    tasks = words.tasks()
    columns = version.report.get("columns", {})
    kept_for = next((n for n, task in tasks.items() if columns.keys() <= task.columns.keys()), None)
    left, right = st.columns(2)
    names = list(tasks)
    index = names.index(kept_for) if kept_for else 0
    key = f"tokens-task-{version.reference}"
    task = left.selectbox(
        _("What shall be learned"), names, index=index, format_func=words.task, key=key
    )
    usual = [
        str(each.config["model"]["name"])
        for each in session.client().presets().items
        if task in (each.config.get("task"), (each.config.get("task") or {}).get("name"))
    ]
    writes = form.writes_text(task)
    fitting = [m.name for m in session.client().models().items if m.generates or not writes]
    models = list(dict.fromkeys([*(name for name in usual if name in fitting), *fitting]))
    model = right.selectbox(_("Base model"), models, format_func=words.model, key=f"{key}-{task}")
    if model is None:
        st.info(_("No base model that fits is at hand on the API's machine."))
        return
    data = {"dataset_name": version.reference}
    roles = {}
    if task == kept_for and columns:
        data["layout"] = (version.report.get("usage") or {}).get("layout") or "none"
        roles = {f"{role}_column": name for role, name in columns.items()}
    row_tokens.panel({"model": {"name": model}, "data": data, "task": {"name": task, **roles}})


def _changes(name: str, numbers: list[int], new: int) -> None:
    others = [number for number in numbers if number != new]
    if not others:
        st.caption(_("There is one version: nothing to compare."))
        return
    default = max((n for n in others if n < new), default=others[0])
    old = st.selectbox(
        _("Compared with version"), others, index=others.index(default), key=f"old-{name}"
    )
    findings.changes(session.client().compare(name, old, new).changes)
