"""Registering an adapter, changing what is said and demanded of it, and its versions' stages."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tunesmith.api.schemas.adapters import AdapterVersionState, AdapterWhole, DemandsState
from tunesmith.api.schemas.experiments import ExperimentSummary
from tunesmith.errors import NotFoundError, TunesmithError
from tunesmith.tracking.registry_entities import Stage
from tunesmith.tracking.service_entities import Role
from tunesmith.ui import formats, navigation, session, trouble, words
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is

MOST_TAGS = 20


def demanded(demands: DemandsState) -> str:
    """What is demanded, in one line; empty for nothing."""
    told = []
    if demands.minimum_score is not None:
        told.append(
            _("the lower end of the score's 95 % interval reaches {score}").format(
                score=formats.score(demands.minimum_score)
            )
        )
    if demands.verified:
        told.append(_("the saved adapter was loaded again and gave the same predictions"))
    if demands.better_than_production:
        told.append(_("it is better than the one in production, by the paired test"))
    return " · ".join(told)


def ask_register(one: ExperimentSummary) -> None:
    """A dialog in which the adapter of an experiment gets a name, or another version of one."""

    @st.dialog(_("Register this adapter"))
    def dialog() -> None:
        known = [
            each.name
            for each in session.client().adapters(limit=200).items
            if session.may_change(each.owner)
        ]
        name = st.selectbox(
            _("Name"),
            known,
            index=None,
            accept_new_options=True,
            placeholder=_("choose, or type a new one"),
            help=_("Letters, digits, and _ . - between them."),
        )
        comment = st.text_area(_("Comment"), max_chars=10_000, height=80)
        st.caption(
            _("It becomes a candidate; its experiment can't be deleted until it is archived.")
        )
        wanted = (name or "").strip()
        if _save(_("Register"), lambda: _register(one, wanted, comment), disabled=not wanted):
            navigation.go("adapters", name=wanted)

    dialog()


def _register(one: ExperimentSummary, name: str, comment: str) -> None:
    client = session.client()
    try:
        client.register_version(name, one.id, comment=comment)
    except NotFoundError:  # the experiment is on this page: so the name is new
        client.register_adapter(name, one.id, comment=comment)


def ask_stage(found: AdapterWhole) -> None:
    """A dialog in which a version is given another stage."""

    @st.dialog(_("Promote or archive"))
    def dialog() -> None:
        def title(each: AdapterVersionState) -> str:
            score = "" if each.score is None else f" · {formats.score(each.score)}"
            return f"{each.reference} · {words.stage(each.stage)}{score}"

        version = st.selectbox(_("Version"), found.versions, format_func=title)
        others = [each for each in Stage if each is not version.stage]
        first = others.index(Stage.PRODUCTION) if Stage.PRODUCTION in others else 0
        stage = st.selectbox(_("Stage"), others, index=first, format_func=words.stage)
        comment = st.text_area(_("Comment"), max_chars=10_000, height=80)
        force = False
        if stage is Stage.PRODUCTION:
            if wanted := demanded(found.demands):
                st.caption(_("To go into production: {demands}").format(demands=wanted))
            if session.may(Role.ADMIN):
                force = st.checkbox(
                    _("All the same, though it doesn't meet what is demanded"),
                    help=_("The comment stays in the history as the reason."),
                )
        if _save(
            _("Change the stage"),
            lambda: session.client().set_stage(
                found.name, version.number, stage, comment=comment, force=force
            ),
            disabled=force and not comment.strip(),
        ):
            st.rerun()

    dialog()


def ask_edit(found: AdapterWhole) -> None:
    """A dialog in which what is said and demanded of a name is changed."""

    @st.dialog(as_it_is(found.name))
    def dialog() -> None:
        description = st.text_area(_("Description"), found.description, max_chars=10_000, height=80)
        language = st.text_input(
            _("Language"), found.language or "", max_chars=35, placeholder="zh-TW"
        )
        tags = st.multiselect(
            _("Tags"),
            found.tags,
            default=found.tags,
            accept_new_options=True,
            max_selections=MOST_TAGS,
            placeholder=_("choose, or type a new one"),
        )
        st.markdown(f"**{_('What a version must be like to go into production')}**")
        minimum = st.number_input(
            _("Least score: the lower end of its 95 % interval"),
            min_value=0.0,
            max_value=1.0,
            value=found.demands.minimum_score,
            step=0.01,
            format="%.3f",
            placeholder=_("none"),
        )
        verified = st.checkbox(
            _("The saved adapter was loaded again and gave the same predictions"),
            found.demands.verified,
        )
        better = st.checkbox(
            _("Better than the one in production, by the paired test"),
            found.demands.better_than_production,
        )
        demands = {
            "minimum_score": minimum, "verified": verified, "better_than_production": better
        }  # fmt: skip
        if _save(
            _("Save"),
            lambda: session.client().edit_adapter(
                found.name, description=description, language=language, tags=tags, demands=demands
            ),
        ):
            st.rerun()

    dialog()


def _save(label: str, call: Callable[[], object], *, disabled: bool = False) -> bool:
    """A button that does `call`; True once that was done, what was refused is told."""
    if not st.button(label, type="primary", icon=":material/save:", disabled=disabled):
        return False
    try:
        call()
    except TunesmithError as error:
        trouble.tell(error)
        return False
    return True
