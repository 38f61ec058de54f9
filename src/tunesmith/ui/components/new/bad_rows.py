"""What the rules find in the draft's data; a click fixes such rows, or leaves them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from tunesmith.schemas.data import ConfigurationCheck
from tunesmith.ui import formats, trouble
from tunesmith.ui.components import findings
from tunesmith.ui.components.new import draft
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session

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
    with st.expander(findings.usable(numbers), expanded=True):
        findings.reading(numbers)
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
    with st.spinner(_("Looking at every row …")), trouble.shown():
        kept[key] = session.client().check_configuration(question)
    return kept.get(key)


def _mend(rules: Mapping[str, Mapping[str, Any]]) -> None:
    """One click puts the rows of a rule right or leaves them out, where that can be chosen."""
    fields = form.fields("data")
    known = {field.name: field for field in fields if field.path.startswith(RULES)}
    with st.container(horizontal=True):
        for rule, each in rules.items():
            choices = known[rule].schema.get("enum", []) if rule in known else []
            if each["action"] not in ("warn", "fail"):
                continue
            n, name = formats.number(each["findings"]), findings.rule_name(rule)
            labels = {
                "fix": _("Fix {n}: {rule}").format(n=n, rule=name),
                "drop": _("Drop {n}: {rule}").format(n=n, rule=name),
            }
            for action, label in labels.items():
                if action not in choices or not st.button(
                    label, key=f"{action}:{rule}", icon=":material/filter_alt:"
                ):
                    continue
                draft.put(RULES + rule, action)
                draft.replace(draft.current())  # the fields below show it too
                st.session_state[_AGAIN] = True
                st.rerun()
