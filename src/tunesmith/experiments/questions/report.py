"""An analysis of many experiments as one HTML page: no network, no script, no other file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.analysis.plots import render, svg
from tunesmith.messages import say
from tunesmith.statistics.analysis import Analysis, Line

TEMPLATE = "report.html.jinja"

PLOTTED = 30
"""Lines in a plot, the best first; the table holds all."""

_WIDTH = 330
"""Width of a plot in CSS pixels: what a phone's screen has room for."""


@dataclass(frozen=True)
class Section:
    """The lines whose scores can stand beside each other."""

    title: str
    note: str
    lines: Sequence[Line]
    plots: Sequence[tuple[str, Any]]


def render_report(analysis: Analysis, *, title: str, store: str, created: str) -> str:
    """The page, as HTML; every text is escaped. `store` and `created` say of what, and when."""
    return render(
        "tunesmith.experiments.questions",
        TEMPLATE,
        {"shown": shown},
        analysis=analysis,
        title=title,
        store=store,
        created=created,
        sections=sections(analysis),
    )


def shown(value: float, kind: str) -> str:
    """A figure as people read it; `kind` is count, score, seconds, number or bytes."""
    match kind:
        case "score":
            return f"{value:.3f}"
        case "seconds":
            minutes, seconds = divmod(round(value), 60)
            hours, minutes = divmod(minutes, 60)
            if hours:
                return say("{hours} h {minutes} min", hours=hours, minutes=f"{minutes:02}")
            return (
                say("{minutes} min {seconds} s", minutes=minutes, seconds=f"{seconds:02}")
                if minutes
                else say("{n:.1f} s", n=value)
            )
        case "bytes":
            return f"{value / 1e9:,.2f} GB"
        case "number":
            return f"{value:,.1f}"
        case _:
            return f"{value:,.0f}"


def sections(analysis: Analysis) -> list[Section]:
    """The lines by metric and evaluation rows, those without a score last."""
    found = []
    for (metric, rows), each in itertools.groupby(
        analysis.lines, key=lambda line: (line.metric, line.rows)
    ):
        lines = list(each)
        if metric is None:
            found.append(Section(say("Without a score"), "", lines, ()))
            continue
        note = say("Evaluation rows {rows}…", rows=rows[:19]) if rows else ""
        found.append(Section(metric, note, lines, _plots(lines, metric)))
    return found


def _plots(lines: Sequence[Line], metric: str) -> list[tuple[str, Any]]:
    import altair as alt

    named = [(" · ".join(line.group) or "all", line) for line in lines[:PLOTTED]]
    figures = alt.Axis(tickCount=5, labelOverlap=True)

    def chart(values: Sequence[Any]) -> Any:
        groups = [value["group"] for value in values]
        axis = alt.Axis(title=None, ticks=False, labelLimit=140)
        chart = alt.Chart(alt.InlineData(values)).encode(alt.Y("group:N", sort=groups, axis=axis))
        return chart.properties(width=_WIDTH, height=max(22 * len(values), 60))

    scores = chart(
        [
            {"group": name, "score": line.best.score, "low": line.best.low, "high": line.best.high}
            for name, line in named
            if line.best is not None
        ]
    )
    scale = alt.Scale(zero=False)
    ends = scores.mark_rule(color="var(--mark)", strokeWidth=2).encode(
        alt.X("low:Q", title=metric, scale=scale, axis=figures), alt.X2("high:Q")
    )
    points = scores.mark_point(color="var(--bar)", filled=True, size=60, opacity=1).encode(
        alt.X("score:Q", title=metric, scale=scale)
    )
    plots = [(f"Best {metric} of each group, with its 95 % interval", svg(alt.layer(ends, points)))]
    speeds = [
        {"group": name, "speed": line.median_speed}
        for name, line in named
        if line.median_speed is not None
    ]
    if speeds:
        per_second = alt.X("speed:Q", title=say("samples per second"), axis=figures)
        bars = chart(speeds).mark_bar(color="var(--bar)").encode(per_second)
        plots.append(("Samples per second, median", svg(bars)))
    return plots
