"""The configuration that somebody is writing. It stands in the page's address, so that a reload,
the back button or a second tab loses nothing, and a colleague can be sent it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import streamlit as st

PARAMETER = "draft"

MOST = 20_000
"""Characters of an address that browsers and servers surely take are about 8,000; a longer draft
stays in the tab."""

_KEY = "_draft"
_REVISION = "_draft_revision"


def current() -> dict[str, Any]:
    """The draft: sections of fields that were set; what is missing has its default."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = unpack(st.query_params.get(PARAMETER, ""))
    draft: dict[str, Any] = st.session_state[_KEY]
    return draft


def replace(config: Mapping[str, Any]) -> None:
    """Begin anew with another configuration; every field shows it."""
    st.session_state[_KEY] = json.loads(json.dumps(dict(config)))
    st.session_state[_REVISION] = revision() + 1
    _keep()


def revision() -> int:
    """Counts the replacements: part of the fields' keys, so that they forget what they showed."""
    return int(st.session_state.get(_REVISION, 0))


def get(path: str) -> Any:
    """The value of a dotted field; None where it isn't set."""
    value: Any = current()
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def has(path: str) -> bool:
    """Whether a dotted field is set, be it to null."""
    section, _, name = path.rpartition(".")
    holder = get(section) if section else current()
    return isinstance(holder, Mapping) and name in holder


def put(path: str, value: Any) -> None:
    """Set a dotted field."""
    holder = current()
    *sections, name = path.split(".")
    for section in sections:
        inner = holder.get(section)
        if not isinstance(inner, dict):
            inner = holder[section] = {"name": inner} if isinstance(inner, str) else {}
        holder = inner
    holder[name] = value
    _keep()


def remove(path: str) -> None:
    """Let a dotted field have its default."""
    section, _, name = path.rpartition(".")
    holder = get(section) if section else current()
    if isinstance(holder, dict):
        holder.pop(name, None)
        if section and not holder:
            remove(section)
    _keep()


def text_field(path: str, label: str, **options: Any) -> None:
    """A field in which the text of a dotted field is typed."""
    key = f"{path}:{revision()}"

    def keep() -> None:
        put(path, st.session_state[key].strip())

    st.text_input(label, str(get(path) or ""), key=key, on_change=keep, **options)


def pack(config: Mapping[str, Any]) -> str:
    """A configuration as a part of an address."""
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpack(text: str) -> dict[str, Any]:
    """What `pack` packed; nothing where it is something else."""
    if not text or len(text) > MOST:
        return {}
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacker = zlib.decompressobj()
        found = json.loads(unpacker.decompress(packed, 10 * MOST))
    except (ValueError, zlib.error):
        return {}
    return found if isinstance(found, dict) else {}


def _keep() -> None:
    packed = pack(current())
    if len(packed) <= MOST and current():
        st.query_params[PARAMETER] = packed
    else:
        st.query_params.pop(PARAMETER, None)
