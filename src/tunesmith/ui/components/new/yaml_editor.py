"""The configuration as YAML, to read, to edit and to take along as a command."""

from __future__ import annotations

import json
import shlex

import streamlit as st
import yaml

from tunesmith.ui import trouble
from tunesmith.ui.components.new import draft
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session


def panel(resolved: str | None) -> None:
    """Three tabs: what was set, the whole with its defaults, the commands."""
    tabs = st.tabs([_("As YAML"), _("With defaults"), _("As a command")])
    with tabs[0]:
        _edit()
    with tabs[1]:
        if resolved is None:
            st.caption(_("Once the fields are right."))
        else:
            st.code(resolved, language="yaml", height=420)
    with tabs[2]:
        _commands()


def _edit() -> None:
    key = f"yaml:{draft.pack(draft.current())[:64]}:{draft.revision()}"
    label = _("What you set; the rest are defaults")
    text = st.text_area(label, _as_yaml(), height=380, key=key)
    if st.button(_("Apply"), icon=":material/check:", disabled=text == _as_yaml()):
        with trouble.shown():
            draft.replace(session.client().parse(text).config)
            st.rerun()


def _as_yaml() -> str:
    if not draft.current():
        return ""
    return yaml.safe_dump(draft.current(), sort_keys=False, allow_unicode=True)


def _commands() -> None:
    url = session.api_url()
    body = json.dumps(draft.current(), ensure_ascii=False)
    st.caption(_("Save the YAML as experiment.yaml, then:"))
    st.code("tunesmith submit --config experiment.yaml", language="bash")
    st.caption(_("Or straight to the API:"))
    st.code(
        f"curl -X POST {url}/train -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        language="bash",
        wrap_lines=True,
    )
