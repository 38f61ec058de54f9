"""What the rules find in the draft's data, and leaving rows out by a click."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from tunesmith.api.schemas.data import ConfigurationCheck
from tunesmith.errors import TunesmithError
from tunesmith.ui import formats, session, trouble
from tunesmith.ui.components import draft, findings
from tunesmith.ui.components import schema_form as form
from tunesmith.ui.language import _

RULES = "data.validation_rules."

_KEPT = "_reports"
_AGAIN = "_report_again"


def panel() -> None:
    """The report, once it was asked for: for large data it takes a while."""
    question = {**draft.current(), "model": draft.get("model") or {"name": "none"}}
    found = _report(question)
    if found is None:
        return
    numbers = found.report
    with st.expander(
        _("{good} of {all} rows can be used").format(
            good=formats.number(numbers["rows_out"]), all=formats.number(numbers["rows_in"])
        ),
        expanded=True,
    ):
        findings.rules(numbers["rules"])
        _mend(numbers["rules"])
        findings.rows(numbers.get("findings") or [], found.findings)
        if found.rejected:
            client = session.client()  # when the file is made, Streamlit doesn't say who visits
            st.download_button(
                _("Download the rejected rows"),
                lambda: client.rejected_rows(question),
                file_name="rejected.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
            )


def _report(question: dict[str, Any]) -> ConfigurationCheck | None:
    """The report of these data under these rules; None until somebody asks for it."""
    kept: dict[str, ConfigurationCheck] = st.session_state.setdefault(_KEPT, {})
    key = draft.pack({section: question.get(section) for section in ("task", "data")})
    if key in kept:
        return kept[key]
    again = st.session_state.pop(_AGAIN, False)
    if not again and not st.button(_("Look for bad rows"), icon=":material/rule:"):
        return None
    with st.spinner(_("Looking at every row …")):
        try:
            kept[key] = session.client().check_configuration(question)
        except TunesmithError as error:
            trouble.tell(error)
            return None
    return kept[key]


def _mend(rules: Mapping[str, Mapping[str, Any]]) -> None:
    """One click leaves the rows of a rule out, where that can be chosen and isn't done."""
    fields = form.fields("data", "text-classification")
    known = {field.name: field for field in fields if field.path.startswith(RULES)}
    with st.container(horizontal=True):
        for rule, each in rules.items():
            choices = known[rule].schema.get("enum", []) if rule in known else []
            if each["action"] not in ("warn", "fail") or "drop" not in choices:
                continue
            label = _("Drop {n}: {rule}").format(
                n=formats.number(each["findings"]), rule=findings.rule_name(rule)
            )
            if st.button(label, key=f"drop:{rule}", icon=":material/filter_alt:"):
                draft.put(RULES + rule, "drop")
                draft.replace(draft.current())  # the fields below show it too
                st.session_state[_AGAIN] = True
                st.rerun()
