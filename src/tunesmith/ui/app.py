"""The page as Streamlit runs it for each visitor, again and again: frame, sign-in, navigation."""

from __future__ import annotations

import streamlit as st

from tunesmith.errors import AccessError, ServiceError, TunesmithError
from tunesmith.ui import navigation, trouble
from tunesmith.ui.components import frame
from tunesmith.ui.language import _
from tunesmith.ui.views import (
    adapters,
    compare,
    data,
    experiment,
    experiments,
    home,
    new,
    sign_in,
    sweeps,
    system,
    try_it,
)
from tunesmith.ui.visitor import session


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Tunesmith", page_icon=":material/tune:", layout="wide")
    frame.style()
    session.forget_visitor()
    try:
        visitor = session.visitor()
    except ServiceError as error:
        trouble.tell(error)
        trouble.wait_for_service()
        return
    except AccessError as refusal:
        frame.sidebar(signed_in=False)
        sign_in.page(refusal)
        return
    pages = _pages()
    chosen = st.navigation(list(pages.values()))
    navigation.remember(pages)
    frame.sidebar(signed_in=visitor.via != "local")
    try:
        chosen.run()
    except TunesmithError as error:
        trouble.tell(error)
        if isinstance(error, ServiceError):
            trouble.wait_for_service()


def _pages() -> dict[str, st.Page]:
    """Every page by its name, in the sidebar's order; the hidden one is linked to."""
    pages = {"home": st.Page(home.page, title=_("Home"), icon=":material/home:", default=True)}
    for name, view, title, icon in (
        ("new", new, _("New experiment"), "add_circle"),
        ("experiments", experiments, _("Experiments"), "science"),
        ("compare", compare, _("Compare"), "compare_arrows"),
        ("sweeps", sweeps, _("Sweeps"), "tune"),
        ("adapters", adapters, _("Adapters"), "inventory_2"),
        ("try", try_it, _("Try it"), "chat"),
        ("data", data, _("Data"), "table"),
        ("system", system, _("System"), "dns"),
        ("experiment", experiment, _("Experiment"), "experiment"),
    ):
        pages[name] = st.Page(
            view.page, title=title, icon=f":material/{icon}:", url_path=name,
            visibility="hidden" if name == "experiment" else "visible",
        )  # fmt: skip
    return pages


main()
