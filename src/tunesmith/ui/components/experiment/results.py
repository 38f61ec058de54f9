"""What came of an experiment: the score, how sure it is, what it is worth, where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.schemas.experiments import ExperimentWhole
from tunesmith.schemas.metrics import (
    calibration_said,
    confusions_of,
    forgetting_of,
    selective_said,
    trained_on,
)
from tunesmith.ui import formats, localized, words
from tunesmith.ui.components import figures
from tunesmith.ui.language import _
from tunesmith.values import readable

MOST_LABELS = 30
"""Labels up to which a confusion matrix is drawn."""


def verdict(whole: ExperimentWhole) -> None:
    """The score with its interval, beside what needs no training, in one row."""
    score = whole.metrics.get("score")
    if not isinstance(score, Mapping):
        return
    interval, name = score.get("interval") or {}, score["metric"]
    untrained = score.get("untrained", {}).get(name)
    baseline = score["baseline"]
    how, ends = _interval(interval, score.get("interval_note"))
    figures.row(
        "score",
        (words.metric(name).capitalize(), formats.score(score["value"]), how),
        (_("95 % interval"), ends),
        (_("Untrained model"), formats.score(untrained)),
        (_("Simplest answer"), formats.score(baseline["value"]), localized.text(baseline["name"])),
    )
    for caution in whole.metrics.get("cautions") or []:
        st.warning(localized.text(caution), icon=":material/warning:")
    _about_sides(whole.metrics)
    if score["value"] <= baseline["value"]:
        st.error(
            _("No better than the simplest answer: it has not learned the task."),
            icon=":material/trending_flat:",
        )
    elif not interval or interval["low"] <= baseline["value"]:
        st.warning(
            _("Not plainly better than the simplest answer, with this many rows."),
            icon=":material/help:",
        )
    elif whole.metrics.get("reload_verified"):
        st.success(
            _(
                "Better than the simplest answer. The saved adapter was loaded again and gave the "
                "same answer to every held-out row."
            ),
            icon=":material/verified:",
        )


def _about_sides(metrics: Mapping[str, Any]) -> None:
    """What the rows that picked say, and how many experiments the rows that judge have judged."""
    said = []
    if validation := metrics.get("validation"):
        text = _("Validation, which picked: {value} by {rows} rows")
        rows = formats.number(metrics["validation_samples"])
        said.append(text.format(value=formats.score(validation["value"]), rows=rows))
    if (looks := metrics.get("looks") or 0) > 1:
        text = _("the test rows have judged {looks} experiments by now")
        said.append(text.format(looks=formats.number(looks)))
    if said:
        st.caption(" · ".join(said))


def _rows_seen(metrics: Mapping[str, Any]) -> str:
    """How many rows were trained on: fewer than there are where training ended before all were."""
    if metrics.get("train_samples") is None:
        return formats.NOTHING
    counts = trained_on(metrics)
    rows, examples, seen = map(formats.number, counts)
    if counts[2] >= counts[1]:
        if rows == examples:
            return rows
        return _("{rows} ({examples} examples)").format(rows=rows, examples=examples)
    text = _("{rows} ({seen} of {examples} examples)")
    if rows == examples:
        text = _("{seen} of {rows}")
    return text.format(rows=rows, seen=seen, examples=examples)


def _interval(interval: Mapping[str, Any], note: str | None) -> tuple[str, str]:
    """The interval in a sentence, and its ends; where there is none, why."""
    if not interval:
        return _("No interval: {why}.").format(why=localized.text(note or "")), formats.NOTHING
    low, high = formats.score(interval["low"]), formats.score(interval["high"])
    text = _("95 % interval ({method}): {low} to {high}, over {rows} held-out rows.")
    if groups := interval.get("groups"):
        text = _(
            "95 % interval ({method}): {low} to {high}, over {rows} held-out rows of {groups} "
            "groups."
        )
    how = text.format(
        method=words.method(interval["method"]),
        low=low,
        high=high,
        rows=formats.number(interval["rows"]),
        groups=formats.number(groups or 0),
    )
    return how, formats.interval(interval["low"], interval["high"])


def details(whole: ExperimentWhole) -> None:
    """Confusion, speed, mistakes, the surest answers, likely label errors."""
    metrics = whole.metrics
    left, right = st.columns([1, 1], gap="large")
    matrix = metrics.get("confusion_matrix")
    with left:
        if matrix and len(matrix["labels"]) <= MOST_LABELS:
            _confusion(matrix)
        elif (found := confusions_of(metrics))["pairs"]:
            _confused(found)
    with right:
        st.markdown(f"**{_('Training')}**")
        figures.row(
            "training",
            (_("Rows"), _rows_seen(metrics)),
            (_("Time"), formats.duration(metrics.get("train_runtime"))),
            (_("Samples per second"), formats.number(metrics.get("train_samples_per_second"))),
            (_("Tokens per second"), formats.number(metrics.get("train_tokens_per_second"))),
            (_("Peak memory"), formats.size(metrics.get("peak_memory_bytes"))),
            (_("Training loss"), formats.score(metrics.get("train_loss"))),
        )
        for note in (metrics.get("ending") or {}).get("notes", []):
            st.caption(localized.text(note))
        if metrics.get("calibration"):
            _reliability(metrics)
        if kept := forgetting_of(metrics):
            st.markdown(f"**{_('What it still knows beside its task')}**")
        for line in map(localized.text, kept):
            st.caption(f"{line[:1].upper()}{line[1:]}.")
        if said := selective_said(metrics):
            st.caption(localized.text(said))
    answers = {"expected": _("expected"), "predicted": _("answer")}
    for name, title in (
        ("worst_mistakes", _("Worst mistakes")),
        ("surest_answers", _("Surest right answers")),
    ):
        if shown := metrics.get(name):
            st.markdown(f"**{title}**")
            _rows(shown, answers)
    suspects = metrics.get("likely_label_errors") or {}
    if suspects.get("rows") or suspects.get("conclusion"):
        st.markdown(f"**{_('Likely label errors')}**")
    if suspects.get("conclusion"):  # those of earlier versions estimated nothing
        st.markdown(localized.text(suspects["conclusion"]))
    if suspects.get("rows"):
        st.caption(
            _(
                "Held-out rows whose label the model contradicts with confidence, the surest "
                "first. Look at each: what the model has not learned looks the same."
            )
        )
        _rows(suspects["rows"], {"label": _("label"), "suggested": _("model")})


def _rows(rows: list[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows of the data with their numbers, fields of them under their titles, and texts."""
    cells = {_("row"): [row.get("row") for row in rows]}
    for name, title in {**columns, "text": _("text")}.items():
        cells[title] = [readable(row.get(name)) for row in rows]
    wide = {_("text"): st.column_config.TextColumn(width="large")}
    st.dataframe(pl.DataFrame(cells, strict=False), hide_index=True, column_config=wide)


def _confused(found: Mapping[str, Any]) -> None:
    """The most frequent mistakes, where there are too many labels for a matrix."""
    st.caption(_("Too many labels for a confusion matrix: the most frequent mistakes."))
    columns = {"expected": _("true label"), "predicted": _("answer"), "rows": _("rows")}
    shown = {title: [pair[name] for pair in found["pairs"]] for name, title in columns.items()}
    st.dataframe(pl.DataFrame(shown, strict=False), hide_index=True)
    if more := found.get("left_out"):
        st.caption(_("{number} rarer pairs are left out.").format(number=formats.number(more)))


def _confusion(matrix: Mapping[str, Any]) -> None:
    labels = [str(label) for label in matrix["labels"]]
    names = ("expected", "predicted", "count", "share")
    rows = [
        (expected, predicted, count, count / max(sum(counts), 1))
        for expected, counts in zip(labels, matrix["rows_expected_columns_predicted"], strict=True)
        for predicted, count in zip(labels, counts, strict=True)
    ]
    table = pl.DataFrame(rows, schema=names, orient="row")
    base = alt.Chart(table, height=max(180, 44 * len(labels))).encode(
        x=alt.X("predicted:N", title=_("answer"), sort=labels, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("expected:N", title=_("true label"), sort=labels),
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("share:Q", legend=None, scale=alt.Scale(scheme="teals", domain=[0, 1])),
        tooltip=[
            alt.Tooltip("expected:N", title=_("true label")),
            alt.Tooltip("predicted:N", title=_("answer")),
            alt.Tooltip("count:Q", title=_("rows"), format=","),
            alt.Tooltip("share:Q", title=_("share"), format=".1%"),
        ],
    )
    numbers = base.mark_text(fontSize=13).encode(
        text=alt.Text("count:Q", format=","),
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#334155")),
    )
    st.markdown(f"**{_('Confusion')}**")
    st.altair_chart(cells + numbers)


def _reliability(metrics: Mapping[str, Any]) -> None:
    """How often answers are right that are so sure: on the diagonal, where they say the truth."""
    found = metrics["calibration"]
    names = {"after": _("as answered"), "before": _("without temperature")}
    if found["reason"] is not None:
        del names["before"]
    rows = [
        {"name": title, **point} for side, title in names.items() for point in found[side]["points"]
    ]
    scale = alt.Scale(domain=[min(row["confidence"] for row in rows) - 0.05, 1.0], clamp=True)
    base = alt.Chart(pl.DataFrame(rows), height=220).encode(
        x=alt.X("confidence:Q", title=_("confidence"), scale=scale, axis=alt.Axis(format="%")),
        y=alt.Y("accuracy:Q", title=_("right"), scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%")),
    )  # fmt: skip
    lines = base.mark_line(point=True).encode(
        color=alt.Color("name:N", title=None, legend=alt.Legend(orient="bottom")),
        tooltip=[
            alt.Tooltip("confidence:Q", title=_("confidence"), format=".1%"),
            alt.Tooltip("accuracy:Q", title=_("right"), format=".1%"),
            alt.Tooltip("rows:Q", title=_("rows"), format=","),
        ],
    )
    ideal = base.mark_line(strokeDash=[4, 4], color="#94a3b8").encode(y="confidence:Q")
    st.markdown(f"**{_('Reliability')}**")
    st.altair_chart(ideal + lines)
    st.caption(localized.text(calibration_said(metrics) or ""))
