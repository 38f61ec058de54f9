"""What people call and say of an experiment: shown, and changed."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.schemas.notes import MOST_TAGS
from tunesmith.ui import trouble
from tunesmith.ui.language import _
from tunesmith.ui.markdown import in_badge
from tunesmith.ui.visitor import session


def show(one: ExperimentSummary) -> None:
    """Tags and note, where there are any; nothing in them is read as Markdown."""
    if one.tags:
        with st.container(horizontal=True, gap="small"):
            for tag in one.tags:
                st.badge(in_badge(tag), icon=":material/sell:", color="violet")
    if one.note:
        st.text(one.note)


def ask(one: ExperimentSummary) -> None:
    """A dialog in which they are changed."""

    @st.dialog(_("Edit this experiment"))
    def dialog() -> None:
        name = st.text_input(
            _("Name"), one.name, max_chars=100, help=_("Letters, digits, and _ . - between them.")
        )
        note = st.text_area(_("Note"), one.note, max_chars=10_000, height=160)
        tags = ask_tags(one.tags, known_tags())
        with st.container(horizontal=True):
            if st.button(_("Save"), type="primary", icon=":material/save:"):
                with trouble.shown():
                    session.client().edit(one.id, name=name.strip(), note=note, tags=tags)
                    st.rerun()
            if st.button(_("Leave it as it is")):
                st.rerun()

    dialog()


def ask_tags(chosen: list[str], known: Iterable[str] = ()) -> list[str]:
    """A field with the chosen tags, in which others can be chosen or typed."""
    return st.multiselect(
        _("Tags"),
        list(dict.fromkeys([*chosen, *known])),
        default=chosen,
        accept_new_options=True,
        max_selections=MOST_TAGS,
        placeholder=_("choose, or type a new one"),
    )


def known_tags() -> list[str]:
    """The tags that experiments have, the commonest first."""
    return [each.tag for each in session.client().tags().items]
