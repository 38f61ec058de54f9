"""Who visits: the connection to the API in their name, and what a page may do for them."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import jwt
import streamlit as st

from tunesmith.client import Client
from tunesmith.network import peers
from tunesmith.network.addresses import is_loopback
from tunesmith.network.local_token import LocalToken
from tunesmith.network.oidc import LEEWAY
from tunesmith.schemas.enums import Role
from tunesmith.schemas.service import Whoami
from tunesmith.settings import Settings
from tunesmith.ui.visitor.cookies import TOKEN

OWN = "X-Tunesmith-Own"
"""Header in which the page's server tells its script whether the visitor is our own account."""

_given: list[Settings] = []


def configure(settings: Settings) -> None:
    """Say what the environment is, once, before the first visitor."""
    _given[:] = [settings]


def settings() -> Settings:
    """The settings of this process."""
    if not _given:
        _given.append(Settings.read())
    return _given[0]


def api_url() -> str:
    """Address of the API."""
    return settings().api_url or settings().api_address


def is_public() -> bool:
    """Whether others than this machine's own people can reach the page."""
    known = settings()
    hosts = (known.ui_host, urlsplit(known.ui_public_url).hostname or "")
    return not all(map(is_loopback, hosts))


def is_api_local() -> bool:
    """Whether the API is on this machine's own address, where the page's account needs no token."""
    return is_loopback(urlsplit(api_url()).hostname or "")


def client() -> Client:
    """The connection of this visitor: with the token of the cookie, where there is one."""
    token = st.context.cookies.get(TOKEN)
    # Sending what has expired would count as a wrong token of this whole page's address.
    if token is not None and has_expired(token):
        token = None
    own = st.context.headers.get(OWN) == "yes"
    return _client(api_url(), token or own_token(own=own), passed_on=not own)


def own_token(*, own: bool) -> str | None:
    """The token of our own account, where the system doesn't tell the API whose a connection is."""
    if not own or peers.is_told() or not is_api_local():
        return None
    return LocalToken(settings()).read()


def was_signed_in() -> bool:
    """Whether the browser still sends a token, good or not."""
    return TOKEN in st.context.cookies


def has_expired(token: str) -> bool:
    """Whether a provider's token says of itself that its time is over; only the API may say that
    one is valid."""
    try:
        ends = jwt.decode(token, options={"verify_signature": False}).get("exp")
    except jwt.InvalidTokenError:
        return False
    return isinstance(ends, int | float) and ends + LEEWAY < time.time()


@st.cache_resource(max_entries=100, show_spinner=False)
def _client(url: str, token: str | None, *, passed_on: bool) -> Client:
    # Answers that haven't changed are not sent again: one connection for each token, not each page.
    return Client(url, token, passed_on=passed_on)


def kept(what: str) -> Any:
    """What the client's method `what` gives: it doesn't change while the API runs."""
    return _kept(api_url(), what)


@st.cache_data(ttl=300, show_spinner=False)
def _kept(url: str, what: str) -> Any:
    return getattr(client(), what)()


def visitor() -> Whoami:
    """Whom the API takes this visitor for; asked once for each run of a page."""
    known: Whoami | None = st.session_state.get("_visitor")
    if known is None:
        known = st.session_state["_visitor"] = client().whoami()
    return known


def forget_visitor() -> None:
    """Ask again who visits: a run of the page begins."""
    st.session_state.pop("_visitor", None)


def may(role: Role) -> bool:
    """Whether this visitor has at least `role`."""
    return visitor().role.allows(role)


def may_change(owner: str) -> bool:
    """Whether this visitor may change what belongs to `owner`."""
    return may(Role.ADMIN) or (may(Role.MEMBER) and owner == visitor().name)
