"""Who are you? Asked where the API wants to know."""

from __future__ import annotations

import streamlit as st

from tunesmith.client import Client
from tunesmith.errors import AccessError
from tunesmith.ui import session
from tunesmith.ui.language import _
from tunesmith.ui.tickets import tickets


def page() -> None:
    """Take an access token, try it, and keep it in a cookie."""
    left, middle, right = st.columns([1, 2, 1])
    del left, right
    with middle:
        st.title(_("Sign in"))
        st.write(_("Type the access token that you were given by whoever keeps this Tunesmith."))
        with st.form("sign-in"):
            token = st.text_input(
                _("Access token"),
                type="password",
                placeholder="ts_…",
                autocomplete="current-password",
            ).strip()
            sent = st.form_submit_button(_("Sign in"), type="primary")
        if not sent or not token:
            return
        try:
            with Client(session.api_url(), token) as trial:
                trial.whoami()
        except AccessError as error:
            st.error(str(error), icon=":material/key_off:")
            return
        ticket = tickets.issue(token)
        st.html(
            f"<script>window.location.assign('/enter/{ticket}')</script>",
            unsafe_allow_javascript=True,
        )
