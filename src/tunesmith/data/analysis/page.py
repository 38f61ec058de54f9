"""An analysis as one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from typing import Any

from tunesmith.data.analysis.distribution import Distribution
from tunesmith.data.analysis.plots import render, svg
from tunesmith.data.analysis.summary import LABELS_DETAILED, Analysis, visible

TEMPLATE = "page.html.jinja"
LABELS_PLOTTED = 40
"""Labels in the plot, the most frequent ones; the table beside it holds up to `LABELS_LISTED`."""
LABELS_LISTED = 1000

_WIDTH = 330
"""Width of a plot in CSS pixels: what a phone's screen has room for."""


def render_page(analysis: Analysis, *, title: str, source: str, hash: str, created: str) -> str:  # noqa: A002 - the field's name
    """The page, as HTML.

    `source`, `hash` and `created` say where the data come from, what their content hash is and when
    they were analysed; empty ones are left out. Every text is escaped.
    """
    filters = {"visible": visible, "number": "{:,}".format, "percent": "{:.1%}".format}
    facts = {"Source": source, "Content hash": hash, "Analysed": created}
    return render(
        "tunesmith.data.analysis",
        TEMPLATE,
        filters,
        analysis=analysis,
        title=title,
        facts=[(name, value) for name, value in facts.items() if value],
        tiles=_tiles(analysis),
        remarks=analysis.remarks(),
        labels=_labels(analysis),
        labels_left_out=max(len(analysis.label_counts) - LABELS_LISTED, 0),
        labels_plot=_labels_plot(analysis),
        labels_plotted=min(len(analysis.label_counts), LABELS_PLOTTED),
        labels_detailed=LABELS_DETAILED,
        measures=[
            (name.capitalize(), measured, _histogram_plot(measured, name))
            for name, measured in analysis.measured().items()
        ],
        typical=_typical(analysis),
    )


def _tiles(analysis: Analysis) -> list[tuple[str, str, str]]:
    """The figures at the top: value, what it is, and what it means."""
    parts = ", ".join(f"{name} {rows:,}" for name, rows in analysis.splits.items())
    tiles = [(f"{analysis.total_samples:,}", "rows", parts if len(analysis.splits) > 1 else "")]
    if analysis.label_counts:
        tiles.append((f"{len(analysis.label_counts):,}", "labels", ""))
    if analysis.imbalance_ratio is not None:
        balanced = "balanced" if analysis.is_balanced else "not balanced"
        tiles.append((f"{analysis.imbalance_ratio:,.2f}", "imbalance ratio", balanced))
    repeated = analysis.duplicates
    of = f"of {repeated.texts:,} texts" if repeated.rows else ""
    tiles.append((f"{repeated.rows:,}", "duplicates", of))
    without = analysis.missing_texts + analysis.empty_texts
    tiles.append((f"{without:,}", "rows without text", ""))
    tokens = analysis.lengths.get("tokens")
    if tokens is not None and tokens.over_limit is not None:
        tiles.append((f"{tokens.over_limit:.1%}", "of rows cut", f"over {tokens.limit:,} tokens"))
    tiles.append((f"{analysis.vocabulary_size:,}", "different words", ""))
    return tiles


def _labels(analysis: Analysis) -> list[dict[str, Any]]:
    """Each label with its rows, its share of all labels, and its share within each split."""
    total = sum(analysis.label_counts.values())
    totals = {name: sum(counts.values()) for name, counts in analysis.labels_by_split.items()}
    return [
        {
            "name": label,
            "rows": rows,
            "share": rows / total,
            "splits": [
                counts.get(label, 0) / max(totals[name], 1)
                for name, counts in analysis.labels_by_split.items()
            ],
        }
        for label, rows in list(analysis.label_counts.items())[:LABELS_LISTED]
    ]


def _typical(analysis: Analysis) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each label's typical words, with the length of their bars in percent of the longest."""
    longest = max((w.z for entry in analysis.typical_words for w in entry.words), default=1.0)
    return [
        (
            entry.label,
            [
                {
                    "word": w.word,
                    "z": f"{w.z:.1f}",
                    "count": w.count,
                    "elsewhere": w.elsewhere,
                    "bar": f"{100 * w.z / longest:.1f}%",
                }
                for w in entry.words
            ],
        )
        for entry in analysis.typical_words
    ]


def _labels_plot(analysis: Analysis) -> Any:
    """A bar for each of the most frequent labels, and a line at the rows of equal shares."""
    if not analysis.label_counts:
        return ""
    import altair as alt

    shown = list(analysis.label_counts.items())[:LABELS_PLOTTED]
    # Numbered, because two labels may look the same once they are cut to what there is room for.
    values = [{"place": n, "label": visible(name), "rows": c} for n, (name, c) in enumerate(shown)]
    equal = sum(analysis.label_counts.values()) / len(analysis.label_counts)
    names = alt.Axis(
        title=None, ticks=False, labelLimit=110, labelExpr="data('names')[datum.value].label"
    )
    bars = (
        alt.Chart(alt.NamedData("names"))
        .mark_bar(color="var(--bar)")
        .encode(
            alt.X("rows:Q", title="rows", axis=_count_axis()),
            alt.Y("place:O", axis=names, scale=alt.Scale(paddingInner=0.25)),
        )
    )
    line = (
        alt.Chart(alt.InlineData([{"rows": equal}]))
        .mark_rule(color="var(--mark)", strokeDash=[4, 3], strokeWidth=1.5)
        .encode(alt.X("rows:Q"))
    )
    plot = alt.layer(bars, line, datasets={"names": values})
    return svg(plot.properties(width=_WIDTH, height=max(18 * len(shown), 40)))


def _histogram_plot(measured: Distribution, name: str) -> Any:
    """The histogram, a line at the median and one at the limit where it lies within."""
    import altair as alt

    shown = measured.histogram
    values = [
        {"from": low, "to": high, "rows": rows}
        for low, high, rows in zip(shown.edges[:-1], shown.edges[1:], shown.counts, strict=True)
    ]
    scale = alt.Scale(domain=[shown.edges[0], shown.edges[-1]], nice=False)
    bars = (
        alt.Chart(alt.InlineData(values))
        .mark_bar(color="var(--bar)", stroke="var(--card)", strokeWidth=0.7)
        .encode(
            alt.X("from:Q", title=name, scale=scale, axis=_count_axis()),
            alt.X2("to:Q"),
            alt.Y("rows:Q", title="rows", axis=_count_axis()),
            alt.Y2(datum=0),
        )
    )
    lines = [measured.quantiles[50]]
    if measured.limit is not None and shown.edges[0] <= measured.limit <= shown.edges[-1]:
        lines.append(measured.limit)
    marks = (
        alt.Chart(alt.InlineData([{"at": value, "dash": n} for n, value in enumerate(lines)]))
        .mark_rule(color="var(--mark)", strokeWidth=1.5)
        .encode(
            alt.X("at:Q"),
            strokeDash=alt.StrokeDash(
                "dash:O", legend=None, scale=alt.Scale(domain=[0, 1], range=[[4, 3], [1, 0]])
            ),
        )
    )
    return svg(alt.layer(bars, marks).properties(width=_WIDTH, height=170))


def _count_axis() -> Any:
    import altair as alt

    short = "datum.value < 10000 ? format(datum.value, ',') : format(datum.value, '~s')"
    return alt.Axis(labelExpr=short, tickCount=4, tickMinStep=1, labelOverlap=True)
