"""Who are you? Asked where the API wants to know."""

from __future__ import annotations

from urllib.parse import quote

import streamlit as st

from tunesmith.client import Client
from tunesmith.errors import AccessError, TooManyAttemptsError
from tunesmith.ui import localized, navigation
from tunesmith.ui.components import frame
from tunesmith.ui.language import _
from tunesmith.ui.visitor import oidc, session, tickets


def page(refusal: AccessError) -> None:
    """Let somebody sign in with the provider, or with an access token; `refusal` is the API's."""
    with st.columns([1, 2, 1])[1]:
        st.title(_("Sign in"))
        _tell(refusal)
        if oidc.is_offered(session.settings()):
            _provider()
            with st.expander(_("With an access token instead")):
                _access_token()
        else:
            _access_token()


def _tell(refusal: AccessError) -> None:
    """Why nobody is signed in, where there is more to say than that."""
    word = st.query_params.get(oidc.TROUBLE)
    if isinstance(refusal, TooManyAttemptsError):
        st.error(localized.text(str(refusal)), icon=":material/timer:")
    elif word in _TROUBLES:
        st.error(_TROUBLES[word](), icon=":material/key_off:")
    elif session.was_signed_in():
        st.warning(
            _("Your sign-in has ended: it has expired, or was revoked. Please sign in again."),
            icon=":material/timer_off:",
        )


_TROUBLES = {
    oidc.REFUSED: lambda: _("The provider did not let you sign in."),
    oidc.STALE: lambda: _(
        "That sign-in took too long, or was begun elsewhere. Please sign in again."
    ),
    oidc.UNREACHABLE: lambda: _(
        "The provider or the API does not answer. Please sign in again in a moment."
    ),
    oidc.UNKNOWN: lambda: _(
        "The provider knows you, but the API does not take its token. Whoever keeps this Tunesmith "
        "finds the reason in the log of the web page."
    ),
    oidc.TOO_LARGE: lambda: _(
        "The provider's token is larger than a browser keeps. Let the provider put fewer claims "
        "into it, such as groups."
    ),
}
"""What went wrong on the way to the provider and back, said in the visitor's language."""


def _provider() -> None:
    settings = session.settings()
    # The whole address: the browser has to come back to the name under which it left.
    back = quote("/" if oidc.TROUBLE in st.query_params else frame.here(), safe="")
    # Whom the API refused may want another account; whose time is over wants to go on.
    again = session.was_signed_in() and oidc.TROUBLE not in st.query_params
    navigation.button(
        f"{settings.ui_public_url}{oidc.PATH}?back={back}{f'&{oidc.AGAIN}=1' if again else ''}",
        _("Sign in with {provider}").format(provider=oidc.provider_name(settings)),
    )


def _access_token() -> None:
    """Take an access token, try it, and keep it in a cookie."""
    st.write(_("Type the access token that you were given by whoever keeps this Tunesmith."))
    with st.form("sign-in"):
        token = st.text_input(
            _("Access token"), type="password", placeholder="ts_…", autocomplete="current-password"
        ).strip()
        sent = st.form_submit_button(_("Sign in"), type="primary")
    if not sent or not token:
        return
    try:
        with Client(session.api_url(), token) as trial:
            trial.whoami()
    except AccessError as error:
        st.error(localized.text(str(error)), icon=":material/key_off:")
        return
    go = f"<script>window.location.assign('/enter/{tickets.issue(token)}')</script>"
    st.html(go, unsafe_allow_javascript=True)
