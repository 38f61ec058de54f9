"""What is wrong with data, and what changed from one version to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from tunesmith.tasks.values import readable
from tunesmith.ui import formats, said, session
from tunesmith.ui.components import figures
from tunesmith.ui.language import _

SHOWN = 200
"""Findings that are shown."""


def report(name: str, number: int) -> None:
    """The check of a version: what each rule found, then row by row."""
    with st.spinner(_("Looking at every row …")):
        found = session.client().check_report(name, number, findings=SHOWN)
    numbers = found.report
    ratio = numbers.get("imbalance_ratio")
    uneven = formats.NOTHING if ratio is None else f"{formats.number(ratio, 2)} : 1"
    figures.row(
        "report",
        (_("Rows"), formats.number(numbers["rows_in"])),
        (_("Can be used"), formats.number(numbers["rows_out"])),
        (_("Findings"), formats.number(found.findings)),
        (_("Most to least frequent label"), uneven),
    )
    rules(numbers["rules"])
    rows(numbers.get("findings") or [], found.findings)


def rules(found: Mapping[str, Mapping[str, Any]]) -> None:
    """What each rule found, and what was done about it."""
    if not found:
        st.success(_("No rule found anything."), icon=":material/check_circle:")
        return
    table = {
        _("rule"): [rule_name(rule) for rule in found],
        _("done"): [action_name(str(each["action"])) for each in found.values()],
        _("rows"): [each["findings"] for each in found.values()],
        _("first rows"): [", ".join(map(str, each["first_rows"])) for each in found.values()],
    }
    counted = st.column_config.NumberColumn(format="localized")
    st.dataframe(pl.DataFrame(table), hide_index=True, column_config={_("rows"): counted})


def rows(found: list[Mapping[str, Any]], total: int) -> None:
    """The findings one by one."""
    if not found:
        return
    table = pl.DataFrame(
        {
            _("row"): [each["row"] for each in found],
            _("rule"): [rule_name(each["rule"]) for each in found],
            _("value"): [_value(each) for each in found],
            _("advice"): [said.plain(str(each["advice"])) for each in found],
        },
        strict=False,
    )
    st.dataframe(table, hide_index=True, placeholder="")
    if total > len(found):
        st.caption(
            _("The first {n} of {total}.").format(
                n=formats.number(len(found)), total=formats.number(total)
            )
        )


def _value(finding: Mapping[str, Any]) -> str:
    """What stands in the row; what a rule says of all rows, or found in the row, in words."""
    value = str(finding["value"])
    spoken = finding["row"] is None or finding["rule"] == "personal_data"
    return said.plain(value) if spoken else value


def changes(found: Mapping[str, Any]) -> None:
    """What changed between two versions, in numbers and with examples."""
    kinds = {
        "added": _("added"),
        "removed": _("removed"),
        "relabelled": _("another label"),
        "edited": _("edited"),
        "moved": _("moved to another split"),
    }
    counted = {**kinds, "unchanged": _("unchanged")}
    figures.row(
        "changes",
        *((title.capitalize(), formats.number(found[kind])) for kind, title in counted.items()),
    )
    if found.get("labels"):
        table = {
            _("label"): [shift["label"] for shift in found["labels"]],
            _("before"): [shift["old"] for shift in found["labels"]],
            _("after"): [shift["new"] for shift in found["labels"]],
            _("change"): [shift["new"] - shift["old"] for shift in found["labels"]],
        }
        st.dataframe(pl.DataFrame(table), hide_index=True)
    for kind, title in kinds.items():
        examples = found["examples"].get(kind) or []
        if examples:
            st.markdown(f"**{title.capitalize()}**")
            st.dataframe(_examples(examples), hide_index=True, placeholder="")


def _examples(examples: list[Mapping[str, Any]]) -> pl.DataFrame:
    lines: list[dict[str, Any]] = []
    for change in examples:
        for side, sign in (("old", "-"), ("new", "+")):
            values = change.get(side)
            if values:
                row = change.get(f"{side}_row")
                cells = {k: v if isinstance(v, str) else readable(v) for k, v in values.items()}
                lines.append({"": sign, _("row"): row, **cells})
    return pl.DataFrame(lines, infer_schema_length=None, strict=False)


def rule_name(rule: str) -> str:
    """A rule of `data.validation_rules`, in words."""
    return {
        "unreadable_rows": _("unreadable rows"),
        "empty_texts": _("empty texts"),
        "short_texts": _("short texts"),
        "long_texts": _("long texts"),
        "missing_labels": _("missing labels"),
        "unknown_labels": _("unknown labels"),
        "broken_tags": _("broken tags"),
        "rare_labels": _("rare labels"),
        "label_imbalance": _("uneven labels"),
        "html": _("HTML"),
        "broken_encoding": _("broken encoding"),
        "control_characters": _("control characters"),
        "cut_texts": _("texts that are cut"),
        "cut_answers": _("answers without their end"),
        "control_tokens": _("control tokens in texts"),
        "duplicates": _("duplicates"),
        "near_duplicates": _("near-duplicates"),
        "conflicting_labels": _("conflicting labels"),
        "leakage": _("held-out texts in training"),
        "near_leakage": _("nearly held-out texts in training"),
        "secrets": _("secrets"),
        "personal_data": _("personal data"),
        "wrong_roles": _("wrong roles"),
        "wrong_order": _("turns out of order"),
        "non_text_turns": _("turns without text"),
        "empty_turns": _("empty turns"),
        "missing_answers": _("missing answers"),
    }.get(rule, rule.replace("_", " "))


def action_name(action: str) -> str:
    """What was done with the rows that broke a rule."""
    return {
        "drop": _("dropped"),
        "fix": _("mended"),
        "warn": _("kept"),
        "fail": _("stops the training"),
        "ignore": _("ignored"),
    }.get(action, action)
