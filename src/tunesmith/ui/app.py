"""The page as Streamlit runs it for each visitor, again and again: frame, sign-in, navigation."""

from __future__ import annotations

import streamlit as st

from tunesmith.errors import AccessError, ServiceError, TunesmithError
from tunesmith.ui import navigation, session, trouble
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
    return {
        "home": st.Page(home.page, title=_("Home"), icon=":material/home:", default=True),
        "new": st.Page(
            new.page, title=_("New experiment"), icon=":material/add_circle:", url_path="new"
        ),
        "experiments": st.Page(
            experiments.page,
            title=_("Experiments"),
            icon=":material/science:",
            url_path="experiments",
        ),
        "compare": st.Page(
            compare.page, title=_("Compare"), icon=":material/compare_arrows:", url_path="compare"
        ),
        "sweeps": st.Page(
            sweeps.page, title=_("Sweeps"), icon=":material/tune:", url_path="sweeps"
        ),
        "adapters": st.Page(
            adapters.page, title=_("Adapters"), icon=":material/inventory_2:", url_path="adapters"
        ),
        "try": st.Page(try_it.page, title=_("Try it"), icon=":material/chat:", url_path="try"),
        "data": st.Page(data.page, title=_("Data"), icon=":material/table:", url_path="data"),
        "system": st.Page(system.page, title=_("System"), icon=":material/dns:", url_path="system"),
        "experiment": st.Page(
            experiment.page,
            title=_("Experiment"),
            icon=":material/experiment:",
            url_path="experiment",
            visibility="hidden",
        ),
    }


main()
