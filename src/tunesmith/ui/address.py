"""Choices that stand in the page's address, so that a link, a reload and the back button keep them.

Streamlit's own `bind="query-params"` writes what a choice is called on the page, and that is in the
visitor's language. What is written here is the value, which is the same for everybody.

Each function lets a widget show what the address holds under the widget's key, and returns what the
widget calls when it is changed. It is called before the widget is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def follow(key: str, values: Sequence[str], otherwise: str | None = None) -> Callable[[], None]:
    """One of `values`; what is none of them counts as `otherwise`."""
    asked = st.query_params.get(key)
    st.session_state[key] = asked if asked in values else otherwise

    def keep() -> None:
        _write(key, st.session_state[key] or "")

    return keep


def follow_number(key: str) -> Callable[[], None]:
    """A whole number from 1, which an address needn't hold."""
    asked = st.query_params.get(key, "")
    is_number = asked.isascii() and asked.isdecimal() and len(asked) < 10
    st.session_state[key] = max(1, int(asked)) if is_number else 1

    def keep() -> None:
        number = st.session_state[key]
        _write(key, "" if number == 1 else str(number))

    return keep


def follow_several(key: str, most: int) -> Callable[[], None]:
    """Up to `most` values without a comma in them."""
    asked = st.query_params.get(key, "").split(",")
    st.session_state[key] = list(dict.fromkeys(filter(None, asked)))[:most]

    def keep() -> None:
        _write(key, ",".join(st.session_state[key]))

    return keep


def _write(key: str, value: str) -> None:
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)
