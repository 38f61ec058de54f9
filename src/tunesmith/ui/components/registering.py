"""Registering an adapter, changing its description and promotion rule, and its versions' stages."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tunesmith.errors import NotFoundError
from tunesmith.schemas.adapters import AdapterVersionState, AdapterWhole, PromotionRuleState
from tunesmith.schemas.enums import Role, Stage
from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.ui import formats, navigation, trouble
from tunesmith.ui.components.editing import ask_tags
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session


def rule_in_words(rule: PromotionRuleState) -> str:
    """The conditions of a promotion rule, in one line; empty for none."""
    conditions = []
    if rule.minimum_score is not None:
        reached = _("the lower end of the score's 95 % interval reaches {score}")
        conditions.append(reached.format(score=formats.score(rule.minimum_score)))
    if rule.verified:
        conditions.append(_("the saved adapter was loaded again and gave the same predictions"))
    if rule.better_than_production:
        conditions.append(_("it is better than the one in production, by the paired test"))
    if rule.minimum_coverage is not None:
        reached = _("the lower end of the share of rows that it answers reaches {share}")
        conditions.append(reached.format(share=formats.score(rule.minimum_coverage)))
    if rule.maximum_calibration_error is not None:
        most = _("the upper end of its calibration error is at most {most}")
        conditions.append(most.format(most=formats.score(rule.maximum_calibration_error)))
    if rule.maximum_forgetting is not None:
        most = _("it lost at most {most} nats per token on general text, by the upper end")
        conditions.append(most.format(most=formats.score(rule.maximum_forgetting)))
    if rule.validated:
        conditions.append(_("rows of their own stopped it and picked its checkpoint"))
    if rule.grouped:
        conditions.append(_("its interval is by groups, where its data know groups"))
    return " · ".join(conditions)


def ask_register(one: ExperimentSummary) -> None:
    """A dialog in which the adapter of an experiment gets a name, or another version of one."""

    @st.dialog(_("Register this adapter"))
    def dialog() -> None:
        found = session.client().adapters(limit=200).items
        known = [each.name for each in found if session.may_change(each.owner)]
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
            return f"{each.reference} · {_(each.stage)}{score}"

        version = st.selectbox(_("Version"), found.versions, format_func=title)
        others = [each for each in Stage if each is not version.stage]
        first = others.index(Stage.PRODUCTION) if Stage.PRODUCTION in others else 0
        stage = st.selectbox(_("Stage"), others, index=first, format_func=_)
        comment = st.text_area(_("Comment"), max_chars=10_000, height=80)
        force = False
        if stage is Stage.PRODUCTION:
            if wanted := rule_in_words(found.demands):
                st.caption(_("To go into production: {demands}").format(demands=wanted))
            if session.may(Role.ADMIN):
                force = st.checkbox(
                    _("All the same, though it doesn't meet the promotion rule"),
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
    """A dialog that changes a name's description, language, tags and promotion rule."""

    @st.dialog(as_it_is(found.name))
    def dialog() -> None:
        description = st.text_area(_("Description"), found.description, max_chars=10_000, height=80)
        language = st.text_input(
            _("Language"), found.language or "", max_chars=35, placeholder="zh-TW"
        )
        tags = ask_tags(found.tags)
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
        figures = _ask_figures(found.demands)
        coverage = st.number_input(
            _("Least share of rows that it answers: the lower end of its 95 % interval"),
            min_value=0.0,
            max_value=1.0,
            value=found.demands.minimum_coverage,
            step=0.01,
            format="%.3f",
            placeholder=_("none"),
        )
        demands = {
            "minimum_score": minimum, "verified": verified, "better_than_production": better,
            "minimum_coverage": coverage,
            **figures,
        }  # fmt: skip
        if _save(
            _("Save"),
            lambda: session.client().edit_adapter(
                found.name, description=description, language=language, tags=tags, demands=demands
            ),
        ):
            st.rerun()

    dialog()


def _ask_figures(rule: PromotionRuleState) -> dict[str, object]:
    """What is asked of calibration, forgetting and sides, by the names of the rule."""
    limits = {
        "maximum_calibration_error": _("Most calibration error: the upper end of its interval"),
        "maximum_forgetting": _("Most loss on general text, in nats per token: the upper end"),
    }
    marks = {
        "validated": _("Rows of their own stopped it and picked its checkpoint"),
        "grouped": _("Its interval is by groups, where its data know groups"),
    }
    asked: dict[str, object] = {
        name: st.number_input(
            label, min_value=0.0, value=getattr(rule, name), step=0.01, format="%.3f",
            placeholder=_("none"),
        )
        for name, label in limits.items()
    }  # fmt: skip
    return asked | {name: st.checkbox(label, getattr(rule, name)) for name, label in marks.items()}


def _save(label: str, call: Callable[[], object], *, disabled: bool = False) -> bool:
    """A button that does `call`; True once that was done; a refusal is shown."""
    if not st.button(label, type="primary", icon=":material/save:", disabled=disabled):
        return False
    with trouble.shown():
        call()
        return True
    return False
