"""Charts of a sweep: the best so far, parameters side by side, what mattered."""

from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.schemas.enums import TrialState
from tunesmith.schemas.sweeps import SweepState, SweepTrial, SweepWhole
from tunesmith.ui import words
from tunesmith.ui.language import _

HEIGHT = 260
"""Pixels."""


def best_so_far(found: SweepState) -> None:
    """Every trial that ended by itself, and the best until then."""
    values = {trial.number: trial for trial in found.trials}
    rows = [
        {
            "order": order,
            "trial": number,
            "value": values[number].value,
            "low": _or(values[number].low, values[number].value),
            "high": _or(values[number].high, values[number].value),
            "best": best,
        }
        for order, (number, best) in enumerate(found.best_so_far, 1)
    ]
    if not rows:
        return
    st.markdown(f"**{_('Best so far')}**")
    base = alt.Chart(pl.DataFrame(rows), height=HEIGHT).encode(
        x=alt.X("order:O", title=_("trials that ended"), axis=alt.Axis(labelAngle=0)),
        tooltip=[
            alt.Tooltip("trial:Q", title=_("trial")),
            alt.Tooltip("value:Q", title=words.metric(found.metric), format=".3f"),
            alt.Tooltip("low:Q", title=_("from"), format=".3f"),
            alt.Tooltip("high:Q", title=_("to"), format=".3f"),
        ],
    )
    scale = alt.Scale(zero=False, padding=12)
    y = alt.Y("value:Q", title=words.metric(found.metric), scale=scale)
    spread = base.mark_rule(opacity=0.4, color="#14b8a6").encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, color="#14b8a6", opacity=1).encode(y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2, color="#f59e0b").encode(
        y=alt.Y("best:Q", scale=scale)
    )
    st.altair_chart(spread + line + points)


def side_by_side(found: SweepState) -> None:
    """Parallel coordinates: a line for each trial through its values, shaded by what it came to."""
    trials = [trial for trial in found.trials if trial.value is not None]
    if len(trials) < 2:
        return
    paths = list(found.parameters)
    short = {path: path.rpartition(".")[2] for path in paths}
    if len(set(short.values())) < len(paths):
        short = {path: path for path in paths}
    metric = words.metric(found.metric)
    values = [trial.value or 0.0 for trial in trials]
    rows: list[dict[str, Any]] = []
    for trial in trials:
        shared = {
            "trial": trial.number,
            "value": trial.value,
            "state": _(trial.state),
            "whole": trial.state is TrialState.SUCCEEDED,
        }
        for path in paths:
            place = _place(found, path, trial)
            if place is not None:
                at, shown = place
                rows.append({**shared, "axis": short[path], "at": at, "shown": shown})
        at = _between(trial.value or 0.0, min(values), max(values))
        rows.append({**shared, "axis": metric, "at": at, "shown": f"{trial.value:.3f}"})
    st.markdown(f"**{_('Settings side by side')}**")
    base = alt.Chart(pl.DataFrame(rows), height=HEIGHT).encode(
        x=alt.X("axis:N", title=None, sort=[*short.values(), metric], axis=alt.Axis(labelAngle=0)),
        y=alt.Y("at:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1])),
        detail="trial:N",
        color=alt.Color(
            "value:Q",
            title=metric,
            scale=alt.Scale(scheme="tealblues", reverse=found.direction == "minimize"),
        ),
        opacity=alt.condition("datum.whole", alt.value(1.0), alt.value(0.35)),
        tooltip=[
            alt.Tooltip("trial:Q", title=_("trial")),
            alt.Tooltip("state:N", title=_("state")),
            alt.Tooltip("axis:N", title=_("parameter")),
            alt.Tooltip("shown:N", title=_("value")),
        ],
    )
    st.altair_chart(base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=50))
    st.caption(_("Pale lines are trials that were pruned, at the last value that they came to."))


def importance(found: SweepWhole) -> None:
    """How much of what made trials good each parameter has."""
    if not found.importance:
        return
    rows = [{"name": name, "share": share} for name, share in found.importance.items()]
    st.markdown(f"**{_('What mattered')}**")
    chart = alt.Chart(pl.DataFrame(rows), height=alt.Step(30)).mark_bar(color="#14b8a6")
    st.altair_chart(
        chart.encode(
            x=alt.X("share:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(zero=True)),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=260)),
            tooltip=[
                alt.Tooltip("name:N", title=_("parameter")),
                alt.Tooltip("share:Q", title=_("share"), format=".0%"),
            ],
        )
    )
    st.caption(_("By PED-ANOVA, from the trials that ended by themselves: few tell little."))


def shown(value: Any) -> str:
    """A parameter's value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _place(found: SweepState, path: str, trial: SweepTrial) -> tuple[float, str] | None:
    """Where a trial's value stands on the axis of a parameter, 0 to 1, and the value."""
    asked, value = found.parameters[path], trial.parameters.get(path)
    choices = asked.get("choices")
    if choices is not None:
        if value not in choices:
            return None
        return (choices.index(value) + 0.5) / len(choices), shown(value)
    if not isinstance(value, int | float):
        return None
    low, high = float(asked["low"]), float(asked["high"])
    if asked.get("log") and value > 0:
        return _between(math.log(value), math.log(low), math.log(high)), shown(value)
    return _between(float(value), low, high), shown(value)


def _between(value: float, low: float, high: float) -> float:
    """0 at `low`, 1 at `high`; what lies outside stands at the end."""
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def _or(value: float | None, other: float | None) -> float | None:
    return other if value is None else value
