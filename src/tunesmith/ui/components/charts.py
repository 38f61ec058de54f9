"""Charts of metrics over steps or time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.schemas.experiments import MetricPoint
from tunesmith.schemas.metrics import RESOURCES, TIME_SHARE, Resource
from tunesmith.ui import words
from tunesmith.ui.language import _

HEIGHT = 220
"""Pixels."""

_Chart = tuple[str, Mapping[str, Sequence[MetricPoint]]]
"""A title, and the lines by their names."""


def curves(
    series: Mapping[str, Sequence[MetricPoint]],
    title: str,
    *,
    x: str = "step",
    log: bool = False,
    smoothing: float = 0.0,
    height: int = HEIGHT,
) -> None:
    """Lines over steps, or with `x="time"` over the seconds since each began.

    `smoothing` is the weight of the past in an exponential mean, 0 to 1.
    """
    rows = []
    for name, points in series.items():
        past: float | None = None
        for point in points:
            if point.value is None or (log and point.value <= 0):
                continue
            past = point.value if past is None else smoothing * past + (1 - smoothing) * point.value
            at = (point.recorded_at - points[0].recorded_at).total_seconds()
            rows.append({"name": name, "step": point.step, "time": at, "value": past})
    if not rows:
        return
    table = pl.DataFrame(rows)
    spread = table["value"].min() != table["value"].max()
    scale = alt.Scale(type="log" if log else "linear", zero=False, nice=spread)
    marked = table.height <= 60
    label = _("step") if x == "step" else _("seconds")
    axis = alt.Axis(tickMinStep=1, grid=False, format="~s" if x == "step" else "~g")
    legend = alt.Legend(orient="bottom", columns=1 if len(series) > 4 else 2, labelLimit=400)
    color = alt.Color("name:N", title=None, legend=legend)
    chart = alt.Chart(table, height=height).encode(
        x=alt.X(f"{x}:Q", title=label, axis=axis),
        y=alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(format=".3~g")),
        color=color if len(series) > 1 else alt.Undefined,
        tooltip=[
            alt.Tooltip("name:N", title=title),
            alt.Tooltip("step:Q", title=_("step")),
            alt.Tooltip("value:Q", format=".4g", title=_("value")),
        ],
    )
    st.markdown(f"**{title}**")
    st.altair_chart(chart.mark_line(point=marked, strokeWidth=2, interpolate="monotone"))


def metrics(histories: Mapping[str, Sequence[MetricPoint]]) -> None:
    """The metrics of one experiment, two charts a row: what was learned, then what it cost."""
    left = {name: points for name, points in histories.items() if name not in RESOURCES}
    charts: list[_Chart] = []
    for bare in dict.fromkeys(["loss", *(name.split("_", 1)[1] for name in left if _side(name))]):
        names = [name for name in (bare, f"validation_{bare}", f"eval_{bare}") if name in left]
        curves = {words.metric(name): left.pop(name) for name in names}
        if curves:
            charts.append((words.metric(bare), curves))
    charts += [(words.metric(name), {words.metric(name): left[name]}) for name in sorted(left)]
    _two_a_row(charts)
    if costs := _costs(histories):
        st.subheader(_("Speed and resources"))
        _two_a_row(costs)


def _side(name: str) -> bool:
    """Whether a metric is of the rows that validate, or of the test."""
    return name.startswith(("validation_", "eval_"))


def _costs(histories: Mapping[str, Sequence[MetricPoint]]) -> list[_Chart]:
    """Charts of speed and machine; the shares of the time are one."""
    shares = [name for name in Resource if name.startswith(TIME_SHARE)]
    alone = [name for name in Resource if name in histories and name not in shares]
    charts: list[_Chart] = [(words.metric(n), {words.metric(n): histories[n]}) for n in alone]
    if parts := {words.metric(name): histories[name] for name in shares if name in histories}:
        charts.append((_("share of the time"), parts))
    return charts


def bars(table: pl.DataFrame, value: alt.X, *tooltip: alt.Tooltip) -> None:
    """A bar for each label of `table`, the longest first."""
    chart = alt.Chart(table, height=alt.Step(26)).mark_bar(cornerRadiusEnd=3)
    label = alt.Y("label:N", sort="-x", title=None)
    named = alt.Tooltip("label:N", title=_("label"))
    st.altair_chart(chart.encode(x=value, y=label, tooltip=[named, *tooltip]))


def _two_a_row(charts: Sequence[_Chart]) -> None:
    for first in range(0, len(charts), 2):  # row by row: a phone shows them in this order
        columns = st.columns(2, gap="large")
        for column, (title, series) in zip(columns, charts[first : first + 2], strict=False):
            with column:
                curves(series, title)
