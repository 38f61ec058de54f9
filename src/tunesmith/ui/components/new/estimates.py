"""How long it will take and how much memory it will need, before it is trained."""

from __future__ import annotations

import streamlit as st

from tunesmith.errors import ConfigError
from tunesmith.schemas.data import Estimate
from tunesmith.ui import formats
from tunesmith.ui.components import figures
from tunesmith.ui.components.new import draft
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session


def panel() -> None:
    """The API's estimate for the draft, whose fields are right."""
    if not draft.get("model.name"):
        return
    try:
        found = session.client().estimate(draft.current())
    except ConfigError:  # a path that may not be read, say: the check tells
        return
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{_('Estimate')}**")
        measured: list[tuple[str, str] | tuple[str, str, str]] = []
        if found.seconds_least is not None:
            measured.append((_("Training time"), _time(found)))
        if found.memory_bytes is not None:
            note = _("At most, for texts of data.max_length tokens.")
            measured.append((_("Memory"), formats.size(found.memory_bytes), note))
        figures.row("estimate", *measured)
        st.caption(_basis(found))
        if found.memory_bytes is not None and found.memory_bytes > found.memory_free_bytes:
            st.warning(
                _(
                    "That is more than the {free} that are free on the API's machine. Fewer rows "
                    "are then computed at once, which takes longer and changes nothing else."
                ).format(free=formats.size(found.memory_free_bytes)),
                icon=":material/memory:",
            )


def _time(found: Estimate) -> str:
    shortest = formats.duration(found.seconds_least)
    longest = formats.duration(found.seconds_most)
    if shortest == longest:
        return shortest
    return _("{least} to {most}").format(least=shortest, most=longest)


def _basis(found: Estimate) -> str:
    if found.experiments and found.seconds_least is not None:
        return _("As {n} earlier experiments with this model were on {hosts}.").format(
            n=len(found.experiments), hosts=as_it_is(", ".join(found.hosts) or "?")
        )
    if found.seconds_least is not None:
        return _(
            "Computed from the model's size and this machine's speed, for texts as long as "
            "data.max_length allows: rough until something was trained with this model."
        )
    if found.memory_bytes is None:
        return _("Nothing was trained with this model yet: the first time tells.")
    return _("The time is known once data.train_samples or a version of the data is chosen.")
