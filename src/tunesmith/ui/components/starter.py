"""The card that a first visitor sees: one click trains the starter experiment."""

from __future__ import annotations

import streamlit as st

from tunesmith.errors import TunesmithError
from tunesmith.tracking.service_entities import Role
from tunesmith.ui import navigation, session, trouble
from tunesmith.ui.language import _


def card() -> None:
    """Draw it."""
    with st.container(border=True):
        st.subheader(_("Your first experiment"))
        st.write(
            _(
                "A small language model learns to tell good film reviews from bad ones: 4,000 "
                "reviews, about a minute on two processor cores. Model and data are installed "
                "already; nothing is fetched."
            )
        )
        if not session.may(Role.MEMBER):
            st.caption(_("You may look at everything here, but not train."))
            return
        if st.button(_("Train the starter"), type="primary", icon=":material/play_arrow:"):
            try:
                submitted = session.client().train(session.client().presets().items[0].config)
            except TunesmithError as error:
                trouble.tell(error)
                return
            navigation.go("experiment", id=submitted.experiment_id)
