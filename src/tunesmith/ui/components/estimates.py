"""How long it will take and how much memory it will need, by what was measured before."""

from __future__ import annotations

import streamlit as st

from tunesmith.api.schemas.experiments import ExperimentWhole
from tunesmith.ui import formats, session
from tunesmith.ui.components import draft
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is

LOOKED_AT = 5
"""Earlier experiments that are asked."""


def panel() -> None:
    """The estimate from the newest experiments with the same model; or that there is none yet."""
    model = draft.get("model.name")
    if not model:
        return
    found = session.client().experiments(model=str(model), status="succeeded", limit=LOOKED_AT)
    same = [one for one in found.items if one.model_name == model]
    wholes = [session.client().experiment(one.id) for one in same[:LOOKED_AT]]
    speeds = [v for one in wholes if (v := one.metrics.get("train_samples_per_second"))]
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{_('Estimate')}**")
        if not speeds:
            st.caption(_("Nothing was trained with this model yet: the first time tells."))
            return
        left, right = st.columns(2)
        rows = _rows()
        if rows is not None:
            seconds = sorted(rows / speed for speed in speeds)
            shortest, longest = formats.duration(seconds[0]), formats.duration(seconds[-1])
            text = (
                shortest
                if shortest == longest
                else _("{least} to {most}").format(least=shortest, most=longest)
            )
            left.metric(_("Training time"), text)
        memory = [v for one in wholes if (v := one.metrics.get("peak_memory_bytes"))]
        if memory:
            right.metric(_("Memory"), formats.size(max(memory)))
        st.caption(_basis(wholes))


def _rows() -> float | None:
    """Rows that are gone through, where the draft and the data tell."""
    epochs = draft.get("training.num_train_epochs")
    samples = draft.get("data.train_samples")
    if not isinstance(samples, int):
        name = str(draft.get("data.dataset_name") or "")
        base, at, number = name.partition("@")
        if not at or not number.isdigit():
            return None
        version = session.client().dataset_version(base, int(number))
        samples = version.splits.get("train", version.rows)
    return samples * float(epochs if isinstance(epochs, int | float) else 1.0)


def _basis(wholes: list[ExperimentWhole]) -> str:
    hosts = {one.host for one in wholes if one.host}
    return _("As {n} earlier experiments with this model were on {hosts}.").format(
        n=len(wholes), hosts=as_it_is(", ".join(sorted(hosts)) or "?")
    )
