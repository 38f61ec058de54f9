"""What a sweep says where its metric can't tell the trials apart."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.tracking.entities import Experiment

MOST = 3
"""Other metrics that are named."""


def same_value_hint(metric: str, field: str, ended: Sequence[Experiment]) -> str | None:
    """Why there is nothing to choose by, and what else could be; None where `metric` does differ.

    `field` is the metric's name in the results; `ended` are the experiments that succeeded.
    """
    values = [each.metrics.get(field) for each in ended]
    if len(values) < 2 or values[0] is None or len(set(values)) > 1:
        return None
    why = "it can't tell them apart"
    if values[0] == 0:
        why = "none learned enough to raise it, or it is too strict for these answers"
    said = f"All {len(values)} trainings that ended have {metric} {values[0]:.3g}: {why}."
    if others := _that_differ(field, ended):
        shown = ", ".join(f"{name} ({low:.3g} to {high:.3g})" for name, low, high in others)
        said += f" These differ: {shown}; a sweep uses one of them with metric: {others[0][0]}."
    return said


def _that_differ(field: str, ended: Sequence[Experiment]) -> list[tuple[str, float, float]]:
    """Other metrics with different values: name, least and most; scores before losses."""
    found = []
    for name in sorted(set[str]().union(*(each.metrics for each in ended))):
        if name == field or not name.startswith("eval_"):
            continue
        values = [each.metrics.get(name) for each in ended]
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        if len(numbers) == len(values) and min(numbers) < max(numbers):
            found.append((name.removeprefix("eval_"), min(numbers), max(numbers)))
    return sorted(found, key=lambda each: each[0] in ("loss", "perplexity"))[:MOST]
