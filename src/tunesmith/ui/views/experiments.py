"""All experiments: filtered, sorted, counted; several chosen to be acted on together."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

import polars as pl
import streamlit as st

from tunesmith.schemas.enums import SORT_KEYS, ExperimentStatus
from tunesmith.schemas.experiments import ExperimentPage, ExperimentSummary
from tunesmith.ui import address, formats, navigation, words
from tunesmith.ui.components import editing, figures, selection
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session

SIZES = (25, 100, 500)
"""Rows of a page of the table."""


def page() -> None:
    """Draw filters, statistics and the table."""
    st.title(_("Experiments"))
    _stats()
    filters = _filters()
    size = filters.pop("limit")
    turn = address.follow_number("page")
    number = int(st.session_state["page"])
    client = session.client()
    found = client.experiments(**filters, limit=size, offset=(number - 1) * size)
    pages = max(1, -(-found.total // size))
    if number > pages:  # other filters leave fewer, or an old link names more
        number = st.session_state["page"] = pages
        found = client.experiments(**filters, limit=size, offset=(number - 1) * size)
    if not found.total:
        if _is_filtered(filters):
            st.info(_("No experiment passes these filters."), icon=":material/science:")
        else:
            st.info(_("There are no experiments yet."), icon=":material/science:")
            navigation.link("new", _("New experiment"), icon=":material/add_circle:")
        return
    chosen = _table(found)
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            st.pagination(pages, key="page", on_change=turn)
        first = (number - 1) * size + 1
        numbers = {"first": first, "last": first + len(found.items) - 1, "total": found.total}
        shown = {name: formats.number(value) for name, value in numbers.items()}
        st.caption(_("{first} to {last} of {total}").format(**shown))
    selection.bar(chosen, filters)


def _stats() -> None:
    stats = session.client().stats()
    running = stats.by_status[ExperimentStatus.RUNNING] + stats.by_status[ExperimentStatus.QUEUED]
    figures.row(
        "stats",
        (_("All"), formats.number(stats.total)),
        (_("Running or waiting"), formats.number(running)),
        (_("Best accuracy"), formats.score(stats.best_accuracy)),
        (_("Mean accuracy"), formats.score(stats.mean_accuracy)),
        (_("Mean time of training"), formats.duration(stats.mean_runtime)),
    )


def _filters() -> dict[str, Any]:
    """The chosen filters, as the client takes them; they stand in the page's address."""
    first, second, third, fourth = st.columns([3, 2, 2, 1.8], vertical_alignment="bottom")
    text = first.text_input(
        _("Search"),
        key="text",
        bind="query-params",
        placeholder=_("name, model, data, id, reason, note, tag"),
        type="search",
        live=True,
    )
    status = second.selectbox(
        _("Status"),
        list(ExperimentStatus),
        index=None,
        key="status",
        on_change=address.follow("status", list(ExperimentStatus)),
        format_func=words.status,
        placeholder=_("any"),
    )
    sort_by = third.selectbox(
        _("Sort by"),
        SORT_KEYS,
        key="sort_by",
        on_change=address.follow("sort_by", SORT_KEYS, otherwise=SORT_KEYS[0]),
        format_func=_sort_name,
    )
    falling = fourth.toggle(
        _("Descending"), value=True, key="desc", bind="query-params", help=_("The largest first.")
    )
    chosen = {"text": text or None, "status": status, "sort_by": sort_by, "desc": falling}
    return {**chosen, **_more_filters()}


def _more_filters() -> dict[str, Any]:
    """Those that are asked for less often, and how long a page of the table is."""
    with st.expander(_("More filters")):
        columns = st.columns(3)
        name = columns[0].text_input(_("Name"), key="name", bind="query-params")
        model = columns[1].text_input(_("Base model"), key="model", bind="query-params")
        dataset = columns[2].text_input(_("Data"), key="dataset", bind="query-params")
        accuracy = columns[0].number_input(
            _("Lowest accuracy"), 0.0, 1.0, None, 0.01, key="min_accuracy", bind="query-params"
        )
        label = _("Longest training, in seconds")
        runtime = columns[1].number_input(
            label, 0.0, None, None, 10.0, key="max_runtime", bind="query-params"
        )
        tags = columns[2].multiselect(
            _("Tags"), editing.known_tags(), key="tag", bind="query-params",
            accept_new_options=True, placeholder=_("any"),
        )  # fmt: skip
        start = columns[0].date_input(_("From"), value=None, key="start", bind="query-params")
        end = columns[1].date_input(_("To"), value=None, key="end", bind="query-params")
        size = columns[2].selectbox(
            _("Rows in a page"), SIZES, index=1, key="size", bind="query-params"
        )
    zone = session.settings().timezone
    return {
        "name": name or None,
        "model": model or None,
        "dataset": dataset or None,
        "tag": tags,
        "min_accuracy": accuracy,
        "max_runtime": runtime,
        "start_date": datetime.combine(start, time.min, zone) if start else None,
        "end_date": datetime.combine(end, time.max, zone) if end else None,
        "limit": size,
    }


def _sort_name(key: str) -> str:
    return {
        "created_at": _("time of creation"),
        "name": _("name"),
        "train_runtime": _("time of training"),
        "eval_accuracy": _("accuracy"),
    }[key]


def _is_filtered(filters: dict[str, Any]) -> bool:
    return any(filters[key] not in (None, []) for key in filters.keys() - {"sort_by", "desc"})


def _table(found: ExperimentPage) -> list[ExperimentSummary]:
    """The table; returns the chosen experiments."""
    zone = session.settings().timezone
    rows = [
        {
            "link": f"/experiment?id={one.id}&name={one.name}",
            "status": words.status(one.status),
            "score": one.score,
            "metric": words.metric(one.score_name) if one.score_name else None,
            "runtime": formats.duration(one.train_runtime),
            "model": words.model(one.model_name),
            "data": words.dataset(one.dataset_name),
            "tags": one.tags,
            "task": words.task(one.task),
            "created": one.created_at.astimezone(zone).replace(tzinfo=None),
            "owner": one.owner,
        }
        for one in found.items
    ]
    names = {
        "link": st.column_config.LinkColumn(_("Name"), display_text=r"name=(.*)$", width="medium"),
        "status": st.column_config.TextColumn(_("Status"), width="small"),
        "score": st.column_config.NumberColumn(_("Score"), format="%.3f", width="small"),
        "metric": st.column_config.TextColumn(_("Metric"), width="small"),
        "runtime": st.column_config.TextColumn(_("Training time")),
        "model": st.column_config.TextColumn(_("Base model")),
        "data": st.column_config.TextColumn(_("Data")),
        "tags": st.column_config.ListColumn(_("Tags")),
        "task": st.column_config.TextColumn(_("Task")),
        "created": st.column_config.DatetimeColumn(_("Created"), format="YYYY-MM-DD HH:mm"),
        "owner": st.column_config.TextColumn(_("Owner")),
    }
    shown = ["link", "status", "score", "metric", "runtime", "model", "data", "created"]
    if any(one.tags for one in found.items):
        shown.insert(1, "tags")
    if any(one.owner for one in found.items):
        shown.append("owner")
    state = st.dataframe(
        pl.DataFrame(rows, schema_overrides={"tags": pl.List(pl.String)}, infer_schema_length=None),
        hide_index=True,
        column_order=shown,
        column_config=names,
        on_select="rerun",
        selection_mode="multi-row",
        key="experiments-table",
        placeholder="",
        height=min(38 + 35 * len(rows), 640),
    )
    return [found.items[row] for row in state.selection.rows if row < len(found.items)]
