"""What is wrong with data, and what changed from one version to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import streamlit as st

from tunesmith.ui import formats, localized
from tunesmith.ui.components import figures
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session
from tunesmith.values import readable

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
    reading(numbers)
    rules(numbers["rules"])
    rows(numbers.get("findings") or [], found.findings)


def usable(found: Mapping[str, Any]) -> str:
    """How many of the rows can be used, in words."""
    good, every = formats.number(found["rows_out"]), formats.number(found["rows_in"])
    return _("{good} of {all} rows can be used").format(good=good, all=every)


def reading(found: Mapping[str, Any]) -> None:
    """How the data of a report were read, the layout that was recognized, and what isn't used."""
    lines((*found.get("reading", ()), *(found.get("usage") or {}).get("lines", ())))


def lines(said: Iterable[str]) -> None:
    """What the service says of data, a line each."""
    if shown := "  \n".join(map(localized.text, said)):
        st.caption(shown)


def rules(found: Mapping[str, Mapping[str, Any]]) -> None:
    """What each rule found, and what was done about it."""
    if not found:
        st.success(_("No rule found anything."), icon=":material/check_circle:")
        return
    for rule, each in found.items():
        numbers = ", ".join(map(formats.number, each["first_rows"]))
        facts = [
            f"**{as_it_is(rule_name(rule))}**",
            action_name(str(each["action"])),
            translate_number("{n} row", "{n} rows", each["findings"]) if numbers else "",
            _("first rows: {numbers}").format(numbers=numbers) if numbers else "",
        ]
        st.markdown(" · ".join(filter(None, facts)))
        first = next(iter(each["first_rows"]), None)
        value = _value({"value": "", **each, "rule": rule, "row": first})
        advice = localized.plain(str(each.get("advice", "")))
        example = _("{value}: {advice}").format(value=value, advice=advice) if value else advice
        st.caption(as_it_is(example))


def rows(found: list[Mapping[str, Any]], total: int) -> None:
    """The findings one by one."""
    if not found:
        return
    table = {
        _("row"): [each["row"] for each in found],
        _("rule"): [rule_name(each["rule"]) for each in found],
        _("value"): [_value(each) for each in found],
        _("advice"): [localized.plain(str(each["advice"])) for each in found],
    }
    st.dataframe(pl.DataFrame(table, strict=False), hide_index=True, placeholder="")
    if total > len(found):
        n, whole = formats.number(len(found)), formats.number(total)
        st.caption(_("The first {n} of {total}.").format(n=n, total=whole))


def _value(finding: Mapping[str, Any]) -> str:
    """What stands in the row; what a rule says of all rows, or found in the row, in words."""
    value = str(finding["value"])
    spoken = finding["row"] is None or finding["rule"] == "personal_data"
    return localized.plain(value) if spoken else value


def changes(found: Mapping[str, Any]) -> None:
    """What changed between two versions, in numbers and with examples."""
    kinds = kinds_of_change()
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
            show_rows(_examples(examples))


def kinds_of_change() -> dict[str, str]:
    """Kind of change of a row → what it is called."""
    return {
        "added": _("added"),
        "removed": _("removed"),
        "relabelled": _("another label"),
        "edited": _("edited"),
        "moved": _("moved to another split"),
    }


def _examples(examples: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for change in examples:
        for side, sign in (("old", "-"), ("new", "+")):
            if values := change.get(side):
                texts = {k: v if isinstance(v, str) else readable(v) for k, v in values.items()}
                yield {"": sign, _("row"): change.get(f"{side}_row"), **texts}


def show_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """A table of rows of data; lists and mappings in them as texts."""
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    table = pl.DataFrame(cells, infer_schema_length=None, strict=False)
    st.dataframe(table, hide_index=True, placeholder="")


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else readable(value)


def rule_name(rule: str) -> str:
    """A rule of `data.validation_rules`, in words."""
    known = {each.name: each.label for each in session.kept("rules").items}
    return _(known[rule]) if rule in known else rule.replace("_", " ")


def action_name(action: str) -> str:
    """What was done with the rows that broke a rule."""
    return {
        "drop": _("dropped"),
        "fix": _("mended"),
        "warn": _("kept"),
        "fail": _("stops the training"),
        "ignore": _("ignored"),
    }.get(action, action)
