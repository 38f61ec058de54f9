"""The workers and what they have."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tunesmith.schemas.service import Usage, WorkerState
from tunesmith.ui import formats
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is


def overview(workers: Sequence[WorkerState]) -> None:
    """Each worker with its places, processor and memory."""
    if not workers:
        st.warning(
            _("No worker is running: experiments wait. Start one with `tunesmith worker`."),
            icon=":material/power_off:",
        )
    for worker in workers:
        busy = len(worker.running)
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{as_it_is(worker.name)}** · {as_it_is(', '.join(worker.devices))}")
            st.caption(_("{busy} of {slots} places in use").format(busy=busy, slots=worker.slots))
            if worker.usage is not None:
                _show(worker.usage)


def _show(usage: Usage) -> None:
    """How much of a machine and of its devices is in use."""
    share = usage.cpu_percent / 100
    st.progress(min(share, 1.0), text=_("processor {share}").format(share=formats.share(share)))
    used, total = formats.size(usage.memory_used), formats.size(usage.memory_total)
    text = _("memory {used} of {total}").format(used=used, total=total)
    st.progress(min(usage.memory_used / max(usage.memory_total, 1), 1.0), text=text)
    for device in usage.devices:
        if device.memory_total and device.kind != "cpu":  # whose memory is shown above
            used, total = formats.size(device.memory_used), formats.size(device.memory_total)
            share = (device.memory_used or 0) / device.memory_total
            st.progress(min(share, 1.0), text=f"{as_it_is(device.name)}: {used} / {total}")
