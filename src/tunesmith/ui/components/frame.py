"""What stands around every page: a little style, the language, who is signed in."""

from __future__ import annotations

from urllib.parse import quote

import streamlit as st

from tunesmith.messages.catalogues import languages, own_name
from tunesmith.settings import VERSION
from tunesmith.ui import navigation
from tunesmith.ui.components import figures
from tunesmith.ui.language import _, language
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

_STYLE = """
.block-container, [data-testid="stMainBlockContainer"] { padding-top: 3.2rem; max-width: 1240px; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding-top: 4.2rem; } }
h1 { letter-spacing: -0.02em; font-size: 2.1rem !important; }
h1, h2, h3, p, li, .stAlert { overflow-wrap: anywhere; }
h3 { font-size: 1.2rem !important; }
[data-testid="stMetricValue"] { font-size: 1.6rem; }
.ts-steps { display: flex; flex-wrap: wrap; list-style: none !important; gap: 0.25rem 0;
  margin: 0.25rem 0 0.5rem !important; padding: 0 !important; }
.ts-steps li { flex: 1 1 5.4rem; min-width: 5.4rem; margin: 0 !important;
  padding: 0.55rem 0.4rem 0 0 !important;
  border-top: 3px solid color-mix(in srgb, currentColor 18%, transparent);
  font-size: 0.86rem; line-height: 1.25; opacity: 0.62; }
.ts-steps li.done { border-color: #14b8a6; opacity: 0.9; }
.ts-steps li.now { border-color: #3b82f6; opacity: 1; font-weight: 600; }
.ts-steps li.bad { border-color: #ef4444; opacity: 1; font-weight: 600; }
.ts-steps small { display: block; font-weight: 400; opacity: 0.8; }
a.ts-link, .st-key-frame a { color: inherit; text-underline-offset: 0.2em;
  text-decoration-color: color-mix(in srgb, currentColor 40%, transparent); }
.st-key-frame a { font-size: 0.9rem; }
[data-testid="stPageLink"] p { overflow: hidden; text-overflow: ellipsis; }
a.ts-button { display: block; padding: 0.55rem 1rem; border-radius: 0.5rem; text-align: center;
  background: #0f766e; color: #ffffff !important; text-decoration: none !important; }
a.ts-button:hover, a.ts-button:focus-visible { background: #115e59; }
"""


def style() -> None:
    """What the theme can't say."""
    st.html(f"<style>{_STYLE}{figures.STYLE}</style>")


def sidebar(*, signed_in: bool) -> None:
    """Language, who is here, and the version."""
    with st.sidebar:
        back = quote(here(), safe="")
        with st.container(key="frame"):
            for code in languages():
                if code != language():
                    navigation.anchor(f"/language/{code}?back={back}", own_name(code))
            if signed_in:
                who = session.visitor()
                st.caption(f"{as_it_is(who.display_name or who.name)} · {_(who.role)}")
                navigation.anchor("/leave", _("Sign out"))
            st.caption(f"Tunesmith {VERSION}")


def here() -> str:
    """Path and parameters of this page."""
    rest = str(st.context.url or "/").partition("://")[2].partition("/")[2]
    path = "/" + rest.partition("?")[0]
    parameters = "&".join(f"{quote(k)}={quote(v)}" for k, v in st.query_params.items())
    return f"{path}?{parameters}" if parameters else path
