"""Templates of the sentences that the service says, by what they are about.

A template is a message as the code writes it, with `{places}` for what differs. A message that is
worded anew there is worded anew here: a test holds them together. `said` says which places hold a
text that is translated too.
"""

from __future__ import annotations

from tunesmith.ui.sentences import (
    access,
    answers,
    checks,
    comparisons,
    configuration,
    data,
    endings,
    files,
    foreign,
    models,
    plans,
    registry,
    states,
    storage,
    sweeps,
    versions,
)

OURS = tuple(
    sentence
    for part in (
        states,
        access,
        endings,
        configuration,
        plans,
        registry,
        checks,
        data,
        files,
        versions,
        storage,
        models,
        answers,
        comparisons,
        sweeps,
    )
    for sentence in part.SENTENCES
)

TEMPLATES = frozenset((*OURS, *foreign.SENTENCES))
"""All of them; those of `foreign` are said by libraries and the system."""
