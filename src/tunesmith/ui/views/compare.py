"""A comparison: scores, what is more than luck, curves, what was different."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from tunesmith.schemas.compare import (
    ComparedExperiment,
    ExperimentComparison,
    ExperimentPair,
    FieldDifference,
)
from tunesmith.schemas.experiments import MetricPoint
from tunesmith.schemas.metrics import RESOURCES
from tunesmith.ui import address, formats, localized, words
from tunesmith.ui.components import charts, figures, findings
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

MOST = 20
"""Experiments that can be compared at once."""

CHOICES = 200
"""Of the newest experiments."""


def page() -> None:
    """Draw the comparison of the experiments whose ids stand in the address."""
    st.title(_("Compare"))
    ids = _choose()
    if len(ids) < 2:
        st.info(
            _("Choose at least two experiments; the first is the one to beat."),
            icon=":material/compare_arrows:",
        )
        return
    found = session.client().compare_experiments(ids)
    names = _names(found.experiments)
    _scores(found, names)
    for pair in found.pairs:
        _verdict(pair, names)
    if found.note is not None:
        st.warning(localized.text(found.note), icon=":material/visibility:")
    tabs = st.tabs([_("Curves"), _("Differences"), _("Seeds")])
    with tabs[0]:
        _curves(found, names)
    with tabs[1]:
        _differences(_("Figures"), found.figures, names)
        for said in found.lacks:
            st.caption(localized.text(said))
        _differences(_("Configuration"), found.config, names)
        _differences(_("Data"), found.data, names)
        _rows(found, names)
        _differences(_("Environment"), found.environment, names)
        if not (found.config or found.data or found.environment):
            st.caption(_("They are the same in everything."))
    with tabs[2]:
        _seeds(found, names)


def _choose() -> list[str]:
    keep = address.follow_several("ids", MOST)
    client = session.client()
    known = {one.id: one for one in client.experiments(limit=CHOICES).items}
    for each in st.session_state["ids"]:
        if each not in known:
            known[each] = client.experiment(each)
    return list(
        st.multiselect(
            _("Experiments"),
            list(known),
            key="ids",
            max_selections=MOST,
            on_change=keep,
            format_func=lambda each: (
                f"{known[each].name} · {formats.moment(known[each].created_at)}"
            ),
            placeholder=_("choose experiments"),
        )
    )


def _names(experiments: Sequence[ComparedExperiment]) -> dict[str, str]:
    """Id → name, with the seed or the id where names are the same."""
    plain = [one.name for one in experiments]
    return {
        one.id: one.name if plain.count(one.name) == 1 else f"{one.name} ({one.id[:4]})"
        for one in experiments
    }


def _scores(found: ExperimentComparison, names: dict[str, str]) -> None:
    scored = [one for one in found.experiments if one.score is not None]
    rows = [
        {
            "name": names[one.id],
            "score": one.score,
            "low": one.interval.low if one.interval else one.score,
            "high": one.interval.high if one.interval else one.score,
            "metric": words.metric(one.metric),
        }
        for one in scored
    ]
    if rows:
        base = alt.Chart(pl.DataFrame(rows), height=alt.Step(34)).encode(
            y=alt.Y(
                "name:N",
                title=None,
                sort=[names[one.id] for one in scored],
                axis=alt.Axis(labelLimit=260),
            ),
            tooltip=[
                alt.Tooltip("name:N", title=_("experiment")),
                alt.Tooltip("score:Q", title=str(rows[0]["metric"]), format=".3f"),
                alt.Tooltip("low:Q", title=_("from"), format=".3f"),
                alt.Tooltip("high:Q", title=_("to"), format=".3f"),
            ],
        )
        scale = alt.Scale(zero=False, padding=12)
        line = base.mark_rule(strokeWidth=3, opacity=0.6, color="#14b8a6").encode(
            x=alt.X("low:Q", title=str(rows[0]["metric"]), scale=scale), x2="high:Q"
        )
        point = base.mark_point(filled=True, size=90, opacity=1).encode(
            x=alt.X("score:Q", scale=scale)
        )
        st.altair_chart(line + point)
        st.caption(_("Lines are 95 % intervals: how far the score may be off with this many rows."))
    table = {
        _("experiment"): [names[one.id] for one in found.experiments],
        _("status"): [words.status(one.status) for one in found.experiments],
        _("score"): [formats.score(one.score) for one in found.experiments],
        _("95 % interval"): [
            formats.interval(one.interval.low, one.interval.high)
            if one.interval
            else formats.NOTHING
            for one in found.experiments
        ],
        _("data"): [words.dataset(one.dataset) for one in found.experiments],
        _("held-out rows"): [formats.number(one.evaluation_rows) for one in found.experiments],
    }
    names_of = st.column_config.TextColumn(width="medium")
    st.dataframe(pl.DataFrame(table), hide_index=True, column_config={_("experiment"): names_of})


def _verdict(pair: ExperimentPair, names: dict[str, str]) -> None:
    who = as_it_is(names[pair.experiment_id])
    baseline = as_it_is(names[pair.baseline_id])
    sentences = {
        "better": _("**{who}** is better than **{baseline}**."),
        "worse": _("**{who}** is worse than **{baseline}**."),
        "not distinguishable": _(
            "**{who}** and **{baseline}** can't be distinguished with this much data."
        ),
    }
    text = sentences.get(
        str(pair.verdict), _("**{who}** can't be compared with **{baseline}**.")
    ).format(who=who, baseline=baseline)
    facts = []
    if pair.difference is not None and pair.interval is not None:
        facts.append(
            _("Difference {value} ({least} to {most})").format(
                value=formats.signed(pair.difference),
                least=formats.signed(pair.interval.low),
                most=formats.signed(pair.interval.high),
            )
        )
    if pair.won is not None and pair.lost is not None:
        won, lost = formats.number(pair.won), formats.number(pair.lost)
        said = _("{won} rows right that were wrong, {lost} wrong that were right")
        facts.append(said.format(won=won, lost=lost))
    if pair.adjusted_p_value is not None and pair.test:
        small = pair.adjusted_p_value < 0.001
        p = "p < 0.001" if small else f"p = {formats.number(pair.adjusted_p_value, 3)}"
        facts.append(f"{words.method(pair.test)}: {p}")
    if n := pair.rows_needed:
        said = translate_number("{n} held-out row would tell", "{n} held-out rows would tell", n)
        facts.append(said)
    if pair.obstacle is not None:
        facts.append(localized.text(pair.explanation))
    body = text + ("\n\n" + " · ".join(facts) if facts else "")
    kind = {"better": st.success, "worse": st.warning}.get(str(pair.verdict), st.info)
    kind(body, icon=":material/balance:")


def _curves(found: ExperimentComparison, names: dict[str, str]) -> None:
    client = session.client()
    histories = {one.id: client.metrics(one.id, points=400).metrics for one in found.experiments}
    metrics = sorted(
        {name for each in histories.values() for name in each if name not in RESOURCES},
        key=lambda name: (name not in ("loss", "validation_loss", "eval_loss"), name),
    )
    if not metrics:
        st.caption(_("Nothing was measured yet."))
        return
    first, second, third, fourth = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
    metric = first.selectbox(_("Metric"), metrics, format_func=words.metric, key="compare-metric")
    axis = second.segmented_control(
        _("Over"),
        ["step", "time"],
        default="step",
        required=True,
        key="compare-axis",
        format_func=lambda kind: _("steps") if kind == "step" else _("time"),
    )
    smoothing = third.slider(_("Smoothing"), 0.0, 0.95, 0.0, 0.05, key="compare-smoothing")
    log = fourth.toggle(_("Logarithmic"), key="compare-log")
    series: dict[str, Sequence[MetricPoint]] = {
        names[each]: history[metric] for each, history in histories.items() if metric in history
    }
    title = words.metric(metric)
    charts.curves(series, title, x=axis or "step", log=log, smoothing=smoothing, height=360)


def _differences(title: str, found: Sequence[FieldDifference], names: dict[str, str]) -> None:
    if not found:
        return
    st.markdown(f"**{title}**")
    table = {_("field"): [each.field for each in found]}
    for number, name in enumerate(names.values()):
        table[name] = [_shown(each.values[number]) for each in found]
    st.dataframe(pl.DataFrame(table), hide_index=True)


def _rows(found: ExperimentComparison, names: dict[str, str]) -> None:
    """Which rows of the data differ from the first one's: how many, and a few."""
    for each in found.rows:
        title = as_it_is(f"{names[each.experiment_id]}: {each.old} → {each.new}")
        if each.counts is None:
            st.caption(f"{title}: {localized.text(each.note or '')}")
            continue
        kinds = findings.kinds_of_change()
        counted = (f"{kinds[kind]}: {formats.number(n)}" for kind, n in each.counts.items() if n)
        st.markdown(f"{title}  \n{', '.join(counted)}")
        table = {
            _("change"): [kinds[row.kind] for row in each.examples],
            _("split"): [row.split for row in each.examples],
            _("before"): [_row_text(row.old) for row in each.examples],
            _("after"): [_row_text(row.new) for row in each.examples],
        }
        st.dataframe(pl.DataFrame(table), hide_index=True)


def _row_text(values: dict[str, str] | None) -> str:
    if values is None:
        return formats.NOTHING
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _shown(value: Any) -> str:
    if value is None:
        return formats.NOTHING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:19] + "…" if text.startswith("sha256:") else text


def _seeds(found: ExperimentComparison, names: dict[str, str]) -> None:
    if not found.seeds:
        st.caption(
            _(
                "No two of them are the same but for the seed. Several seeds of one configuration "
                "show how much of a score is luck."
            )
        )
    for group in found.seeds:
        with st.container(border=True):
            st.markdown(as_it_is(", ".join(names[each] for each in group.experiment_ids)))
            figures.row(
                f"seeds-{group.experiment_ids[0]}",
                (words.metric(group.metric).capitalize(), formats.score(group.mean)),
                (_("Standard deviation"), formats.score(group.standard_deviation)),
                (_("Seeds"), formats.number(group.number)),
            )
