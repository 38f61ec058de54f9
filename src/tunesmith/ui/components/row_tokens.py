"""Rows as a configuration's model sees them: tokens, what is learned, cut off, unknown."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from tunesmith.schemas.row_tokens import RowsAsTokens, RowTokens, TokenState
from tunesmith.ui import localized, trouble, words
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

_KEPT = "_row_tokens"
_COLOURS: Mapping[str, str] = {
    "learned": "background:rgba(33,195,84,.3)",
    "cut": "text-decoration:line-through;opacity:.5",
    "unknown": "background:rgba(255,75,75,.35)",
    "byte": "background:rgba(255,75,75,.2)",
    "special": "opacity:.6",
}
"""What a token is → how it is drawn."""


def panel(config: Mapping[str, Any]) -> None:
    """A row by its number, once it was asked for; `config` names data, task and base model."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = st.number_input(_("Row"), min_value=1, value=1, step=1, width=160)
        asked = st.button(_("Show tokens"), icon=":material/token:")
    key = json.dumps([config, row], sort_keys=True)
    kept: dict[str, RowsAsTokens] = st.session_state.setdefault(_KEPT, {})
    if asked:
        with st.spinner(_("Reading the data …")), trouble.shown():
            kept[key] = session.client().row_tokens(config, [int(row)])
    if key in kept:
        _show(kept[key])


def _show(found: RowsAsTokens) -> None:
    for note in found.notes:
        st.warning(as_it_is(localized.text(note)), icon=":material/translate:")
    for row in found.rows:
        _row(row)
    legend = {
        "learned": _("learned"),
        "cut": _("cut off by data.max_length"),
        "unknown": _("unknown to the model"),
        "byte": _("a part of a character"),
    }
    st.html(" ".join(_span(text, kind) for kind, text in legend.items()))


def _row(row: RowTokens) -> None:
    st.markdown(f"**{_('Row')} {row.row}** · {words.side(row.split)}")
    for why in row.left_out:
        st.error(as_it_is(localized.text(why)))
    for finding in row.findings:
        st.caption(as_it_is(localized.text(finding)))
    for sequence in row.sequences:
        st.caption(as_it_is(sequence.name))
        st.html(" ".join(map(_token, sequence.tokens)))
    if row.target is not None:
        st.caption(f"{_('learned')}: {as_it_is(row.target)}")


def _token(token: TokenState) -> str:
    kind: str = "cut" if token.is_cut else token.kind
    if kind in ("known", "letter", "special") and token.is_learned:
        kind = "learned"
    text = token.text.replace(" ", "·").replace("\n", "⏎")
    return _span(f"{text}/{token.tag}" if token.tag else text, kind)


def _span(text: str, kind: str) -> str:
    drawn = f"padding:0 .2em;border-radius:.2em;{_COLOURS.get(kind, '')}"
    return f'<span style="{drawn}" title="{kind}">{html.escape(text)}</span>'
