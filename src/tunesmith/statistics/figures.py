"""Figures beside the score, side by side, and which experiment lacks which of them.

Nothing is compared as if an experiment had a figure that it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.messages import say
from tunesmith.statistics.differences import Difference
from tunesmith.store.entities.experiments import Experiment

FIGURES = {
    "calibration_error": ("calibration", "after", "ece"),
    "coverage": ("selective", "coverage", "value"),
    "forgetting_text": ("forgetting", "text", "difference"),
    "forgetting_chat": ("forgetting", "chat", "difference"),
    "forgetting_questions": ("forgetting", "questions", "difference"),
    "validation_samples": ("validation_samples",),
    "groups": ("score", "interval", "groups"),
}
"""Name → where it is in `metrics.json`."""


def figures_of(experiments: Sequence[Experiment]) -> tuple[Difference, ...]:
    """Each figure that at least one experiment has, four digits of it, None where one lacks it."""
    found = []
    for name, path in FIGURES.items():
        values = tuple(_value(experiment, path) for experiment in experiments)
        if any(value is not None for value in values):
            found.append(Difference(name, values))
    return tuple(found)


def lacking(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """What has to be said of each experiment that lacks figures of others."""
    found = figures_of(experiments)
    return tuple(
        say(
            "Experiment {id} lacks {names}, which others here have: an earlier version, or its "
            "task or settings, didn't measure it. It isn't compared by that.",
            id=experiment.id,
            names=names,
        )
        for number, experiment in enumerate(experiments)
        if (names := [figure.field for figure in found if figure.values[number] is None])
    )


def _value(experiment: Experiment, path: Sequence[str]) -> Any:
    value: Any = experiment.metrics
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return float(f"{value:.4g}") if isinstance(value, float) else value
