"""Beginning a sweep: what it starts from, and its file as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from tunesmith.schemas.enums import Role
from tunesmith.ui import navigation, trouble
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session

START = """\
sweep_name: learning-rate
parameters:
  training.learning_rate: {low: 1.0e-3, high: 6.0e-3, log: true}
  lora.r: {choices: [8, 16, 32]}
sampler: tpe     # or grid, random
trials: 8
"""
"""What the text begins with."""


def panel(*, expanded: bool) -> None:
    """The form; closed unless `expanded`, or the address names an experiment to vary."""
    if not session.may(Role.MEMBER):
        return
    vary = navigation.parameter("vary")
    with st.expander(
        _("Begin a sweep"), expanded=expanded or vary is not None, icon=":material/tune:"
    ):
        base = _base(vary)
        with st.form("sweep", border=False):  # its button takes what was typed last
            text = st.text_area(
                _("The sweep: fields of the configuration, and the values they may take"),
                START,
                height=220,
                key="sweep-text",
                help=_(
                    "As in a sweep file; set: fixes a field for all trials, seeds: repeats each."
                ),
            )
            asked = st.form_submit_button(
                _("Begin"), type="primary", icon=":material/play_arrow:", disabled=base is None
            )
        if asked:
            _begin(base or {}, text)


def _base(vary: str | None) -> Mapping[str, Any] | None:
    """The configuration that is varied: that of an experiment, or a ready-made one."""
    if vary:
        one = session.client().experiment(vary)
        st.markdown(_("It varies the configuration of this experiment:"))
        navigation.link("experiment", one.name, icon=":material/science:", id=one.id)
        return one.config
    presets = {each.name: each.config for each in session.client().presets().items}
    chosen = st.selectbox(
        _("It varies"),
        list(presets),
        key="sweep-base",
        help=_("To vary an experiment of yours, choose Sweep on its page."),
    )
    return presets.get(str(chosen))


def _begin(base: Mapping[str, Any], text: str) -> None:
    client = session.client()
    with trouble.shown():
        sweep = client.begin_sweep({"base": dict(base), **client.parse(text).config})
        navigation.go("sweeps", id=sweep.id)
