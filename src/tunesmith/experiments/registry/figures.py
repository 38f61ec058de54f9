"""What a promotion rule asks of an experiment's own figures: calibration, forgetting, its sides.

An experiment that lacks a figure, as those of early versions do, doesn't meet what is asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.errors import NotFoundError
from tunesmith.messages import say
from tunesmith.statistics.intervals import LEVEL
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import AdapterVersion, PromotionRule
from tunesmith.store.store import Store


def unmet_figures(version: AdapterVersion, rule: PromotionRule, store: Store) -> list[str]:
    """The conditions of `rule` that the figures of its experiment don't meet, in words."""
    asked = (rule.maximum_calibration_error, rule.maximum_forgetting)
    if asked == (None, None) and not (rule.validated or rule.grouped):
        return []
    try:
        experiment = store.get(version.experiment_id)
    except NotFoundError as error:
        return [str(error)]
    return list(_unmet(experiment, rule))


def _unmet(experiment: Experiment, rule: PromotionRule) -> Iterator[str]:
    metrics = experiment.metrics
    if (most := rule.maximum_calibration_error) is not None:
        after = (metrics.get("calibration") or {}).get("after") or {}
        yield from _above("maximum_calibration_error", most, after.get("ece"), after)
    if (most := rule.maximum_forgetting) is not None:
        text = (metrics.get("forgetting") or {}).get("text") or {}
        yield from _above("maximum_forgetting", most, text.get("difference"), text)
    if rule.validated and not metrics.get("validation_samples"):
        yield say(
            "validated: it is not recorded that rows of their own stopped it and picked its "
            "checkpoint (data.validation_samples)."
        )
    elif rule.validated and experiment.picked_by_test:
        yield say("validated: the rows that judge it have also picked its checkpoint.")
    column = (experiment.config.get("data") or {}).get("group_column")
    if rule.grouped and column and not experiment.interval.get("groups"):
        yield say(
            "grouped: its data have groups ({column}), but its interval isn't by groups. Train it "
            "again.",
            column=column,
        )


def _above(name: str, most: float, value: float | None, found: Mapping[str, Any]) -> Iterator[str]:
    """What is said where the upper end of the interval in `found` is above `most`, or not there."""
    interval = found.get("interval") or {}
    low, high = interval.get("low"), interval.get("high")
    if value is None or low is None or high is None:
        yield say(
            "{name} {most:g}: it isn't recorded. Early versions and other tasks don't measure it.",
            name=name,
            most=most,
        )
    elif high > most:
        yield say(
            "{name} {most:g}: it is {value:.4f}, with a {level:.0%} interval of {low:.4f} to "
            "{high:.4f}; the upper end is what counts.",
            name=name,
            most=most,
            value=value,
            level=LEVEL,
            low=low,
            high=high,
        )
