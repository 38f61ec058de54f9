"""An analysis of many experiments as one HTML page: no network, no script, no other file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.analysis.plots import page_style, page_template, safe, style_hash, svg
from tunesmith.tracking.analyze import Analysis, Line

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
    style = page_style()
    template = page_template("tunesmith.experiments", TEMPLATE, shown=shown)
    page: str = template.render(
        analysis=analysis,
        title=title,
        store=store,
        created=created,
        style=safe(style),
        style_hash=style_hash(style),
        sections=sections(analysis),
    )
    return page


def shown(value: float, kind: str) -> str:
    """A figure as people read it; `kind` is count, score, seconds, number or bytes."""
    match kind:
        case "score":
            return f"{value:.3f}"
        case "seconds":
            minutes, seconds = divmod(round(value), 60)
            hours, minutes = divmod(minutes, 60)
            if hours:
                return f"{hours} h {minutes:02} min"
            return f"{minutes} min {seconds:02} s" if minutes else f"{value:.1f} s"
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
            found.append(Section("Without a score", "", lines, ()))
            continue
        note = f"Evaluation rows {rows[:19]}…" if rows else ""
        found.append(Section(metric, note, lines, _plots(lines, metric)))
    return found


def _plots(lines: Sequence[Line], metric: str) -> list[tuple[str, Any]]:
    plots = [(f"Best {metric} of each group, with its 95 % interval", _scores(lines, metric))]
    if any(line.median_speed is not None for line in lines):
        plots.append(("Samples per second, median", _speeds(lines)))
    return plots


def _scores(lines: Sequence[Line], metric: str) -> Any:
    import altair as alt

    values = [
        {"group": name, "score": line.best.score, "low": line.best.low, "high": line.best.high}
        for name, line in _named(lines)
        if line.best is not None
    ]
    base = alt.Chart(alt.InlineData(values)).encode(_groups(values))
    score = alt.Scale(zero=False)
    ends = base.mark_rule(color="var(--mark)", strokeWidth=2).encode(
        alt.X("low:Q", title=metric, scale=score, axis=_figures()), alt.X2("high:Q")
    )
    points = base.mark_point(color="var(--bar)", filled=True, size=60, opacity=1).encode(
        alt.X("score:Q", title=metric, scale=score)
    )
    return svg(alt.layer(ends, points).properties(width=_WIDTH, height=max(22 * len(values), 60)))


def _speeds(lines: Sequence[Line]) -> Any:
    import altair as alt

    values = [
        {"group": name, "speed": line.median_speed}
        for name, line in _named(lines)
        if line.median_speed is not None
    ]
    bars = (
        alt.Chart(alt.InlineData(values))
        .mark_bar(color="var(--bar)")
        .encode(_groups(values), alt.X("speed:Q", title="samples per second", axis=_figures()))
    )
    return svg(bars.properties(width=_WIDTH, height=max(22 * len(values), 60)))


def _named(lines: Sequence[Line]) -> list[tuple[str, Line]]:
    return [(" · ".join(line.group) or "all", line) for line in lines[:PLOTTED]]


def _groups(values: Sequence[Any]) -> Any:
    import altair as alt

    axis = alt.Axis(title=None, ticks=False, labelLimit=140)
    return alt.Y("group:N", sort=[value["group"] for value in values], axis=axis)


def _figures() -> Any:
    import altair as alt

    return alt.Axis(tickCount=5, labelOverlap=True)
