"""A new experiment: data, base model, settings, a look at the whole, and off it goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

import streamlit as st

from tunesmith.errors import ConfigError, Problem
from tunesmith.schemas.data import Validation
from tunesmith.schemas.enums import Role
from tunesmith.ui import localized, navigation, trouble, words
from tunesmith.ui.components import row_tokens
from tunesmith.ui.components.new import (
    choose_data,
    choose_model,
    draft,
    estimates,
    yaml_editor,
)
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.visitor import session

SECTIONS = ("task", "lora", "data", "training", "job")


def page() -> None:
    """Draw the form of the draft that the address holds."""
    st.title(_("New experiment"))
    if not session.may(Role.MEMBER):
        st.info(_("You may look at everything here, but not train."), icon=":material/lock:")
        return
    _begin()
    problems, text = _look()
    left, right = st.columns([3, 2], gap="large")
    with left:
        choose_data.panel(problems)
        choose_model.panel()
        if draft.get(choose_model.FIELD) and draft.get(choose_data.FIELD):
            with st.expander(_("Rows as the model sees them")):
                row_tokens.panel(draft.current())
        _settings(problems)
    with right:
        _submit(problems)
        if not problems:
            estimates.panel()
        yaml_editor.panel(text)


def _begin() -> None:
    """A preset, or another experiment to begin with."""
    cloned = st.query_params.pop("clone", None)
    if cloned:
        draft.replace(session.client().experiment(cloned).config)
        st.rerun()
    presets = session.client().presets().items
    names = {each.name: each for each in presets}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            _("Begin with"),
            list(names),
            index=None,
            key="preset",
            format_func=lambda name: f"{name} · {names[name].config.get('experiment_name', '')}",
            placeholder=_("a ready-made configuration"),
            width=420,
        )
        if st.button(_("Use it"), disabled=chosen is None, icon=":material/content_paste_go:"):
            draft.replace(names[str(chosen)].config)
            st.rerun()
        if draft.current() and st.button(_("Start over"), type="tertiary"):
            draft.replace({})
            st.rerun()


def _look() -> tuple[Mapping[str, list[Problem]], str | None]:
    """Problems by field, and the whole configuration as YAML where there are none."""
    found: dict[str, list[Problem]] = defaultdict(list)
    text = None
    try:
        text = session.client().resolve(draft.current()).yaml
    except ConfigError as error:
        for problem in error.problems:
            found[problem.field].append(problem)
    for problem in st.session_state.get("_checked", {}).get(draft.pack(draft.current()), ()):
        if problem.field not in found:
            found[problem.field].append(problem)
    return found, text


def _settings(problems: Mapping[str, Sequence[Problem]]) -> None:
    st.subheader(_("Settings"))
    simple = st.segmented_control(
        _("How much"),
        ["simple", "advanced"],
        default="simple",
        required=True,
        key="how-much",
        format_func=lambda kind: _("Simple") if kind == "simple" else _("Advanced"),
        label_visibility="collapsed",
    )
    _name(problems)
    task = current_task()
    every = {section: form.fields(section, task) for section in SECTIONS}
    if simple == "simple":
        chosen = [f for section in SECTIONS for f in every[section] if f.path in form.SIMPLE]
        form.widgets(chosen, problems)
        seen = {f.path for f in chosen} | _SHOWN_ABOVE
        hidden = [found for path, found in problems.items() if path not in seen]
        form.show_problems(list(chain.from_iterable(hidden)), named=True)
        return
    titles = {
        "task": _("Task"),
        "lora": "LoRA",
        "data": _("Data"),
        "training": _("Training"),
        "job": _("Queue"),
    }
    for section, found in every.items():
        wrong = sum(len(problems.get(f.path, ())) for f in found)
        mark = f" · :red[{translate_number('{n} problem', '{n} problems', wrong)}]" if wrong else ""
        with st.expander(titles[section] + mark, expanded=bool(wrong) or section == "training"):
            form.widgets([f for f in found if f.path not in _SHOWN_ABOVE], problems)


_SHOWN_ABOVE = {
    "experiment_name", choose_data.FIELD, choose_model.FIELD, "task.name", *choose_data.READING
}  # fmt: skip


def current_task() -> str:
    """The task of the draft; the default one where none is named."""
    task = draft.get("task")
    name = task.get("name") if isinstance(task, Mapping) else task
    known = words.tasks()
    return str(name) if name in known else next(n for n, t in known.items() if t.is_default)


def _name(problems: Mapping[str, Sequence[Problem]]) -> None:
    label = _("Name of the experiment")
    draft.text_field("experiment_name", label, placeholder="default_experiment")
    form.show_problems(problems.get("experiment_name", ()))


def _submit(problems: Mapping[str, Sequence[Problem]]) -> None:
    count = sum(len(found) for found in problems.values())
    with st.container(border=True):
        if count:
            wrong = translate_number("{n} problem to put right", "{n} problems to put right", count)
            st.markdown(f":red[:material/error: {wrong}]")
        else:
            st.markdown(f":green[:material/check_circle: {_('The fields are right.')}]")
        with st.container(horizontal=True):
            send = st.button(
                _("Train"), type="primary", icon=":material/play_arrow:", disabled=bool(count)
            )
            look = st.button(
                _("Check data and model"), icon=":material/fact_check:", disabled=bool(count)
            )
        if not (send or look):
            return
        with st.spinner(_("Looking at data and model …")):
            answer = _check()
            if not answer.valid:
                st.rerun()
        if look:
            st.success(_("Data and model fit. It can be trained."), icon=":material/verified:")
            for left in answer.unchecked:
                st.caption(localized.text(left))
            return
        with trouble.shown():
            submitted = session.client().train(draft.current())
            navigation.go("experiment", id=submitted.experiment_id)


def _check() -> Validation:
    """Hold the draft against data and model; keeps the problems for their fields."""
    answer = session.client().validate(draft.current())
    problems = [
        Problem(each.field, each.message, accepted=each.accepted, suggestion=each.suggestion)
        for each in answer.problems
    ]
    st.session_state["_checked"] = {draft.pack(draft.current()): problems}
    return answer
