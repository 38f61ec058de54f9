"""Numbers, each under its name: as many in a line as the window is wide."""

from __future__ import annotations

import streamlit as st

STYLE = """[class*="st-key-figures-"] { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
[class*="st-key-figures-"] > * { width: 100%; min-width: 0; }"""
"""Streamlit's own columns would stand one under the other on a phone."""


def row(key: str, *figures: tuple[str, str] | tuple[str, str, str]) -> None:
    """A name, a number and, where there is more to say, a help text each; `key` tells the row."""
    with st.container(key=f"figures-{key}", horizontal=True):
        for name, number, *more in figures:
            st.metric(name, number, help=more[0] if more else None)
