"""The pages, their addresses, and links from one to another."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from tunesmith.ui.markdown import as_it_is

Draw = Callable[[], None]

_KEY = "_pages"


def remember(pages: dict[str, st.Page]) -> None:
    """Keep this run's pages, by name, for `link` and `go`."""
    st.session_state[_KEY] = pages


def link(page: str, label: str, *, icon: str | None = None, **parameters: str) -> None:
    """A link to a page; `parameters` stand in its address."""
    st.page_link(
        st.session_state[_KEY][page],
        label=as_it_is(label),
        icon=icon,
        query_params=parameters or None,
    )


def anchor(address: str, label: str, note: str = "") -> None:
    """A link, in this window, to an address of this server that is no page of Streamlit's."""
    after = f" · {escape(note)}" if note else ""
    st.html(
        f'<a class="ts-link" href="{escape(address)}" target="_self">{escape(label)}</a>{after}'
    )


def button(address: str, label: str) -> None:
    """The same, as what one most likely wants to press (Streamlit's own opens another window)."""
    st.html(f'<a class="ts-button" href="{escape(address)}" target="_self">{escape(label)}</a>')


def go(page: str, **parameters: str) -> None:
    """Show another page; the rest of this one isn't drawn."""
    st.switch_page(st.session_state[_KEY][page], query_params=parameters or None)


def parameter(name: str) -> str | None:
    """A part of this page's address."""
    return st.query_params.get(name) or None
