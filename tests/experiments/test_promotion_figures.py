"""What a promotion rule asks of figures: calibration, forgetting, sides and groups."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.experiments.registry.figures import _unmet
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import PromotionRule

NEW: dict[str, Any] = {
    "calibration": {"after": {"ece": 0.03, "interval": {"low": 0.02, "high": 0.05}}},
    "forgetting": {"text": {"difference": 0.08, "interval": {"low": 0.05, "high": 0.11}}},
    "validation_samples": 20, "ending": {"metric": "validation_loss"},
    "score": {"interval": {"low": 0.5, "high": 0.9, "groups": 12}},
}  # fmt: skip


def unmet(metrics: dict[str, Any], **demands: Any) -> list[str]:
    config = {"data": {"group_column": "author"}}
    one = Experiment(
        name="x", task="sft", model_name="m", dataset_name="d", metrics=metrics, config=config
    )
    return list(_unmet(one, PromotionRule(**demands)))


@pytest.mark.parametrize(
    ("metrics", "demands", "said"),
    [
        (NEW, {"maximum_calibration_error": 0.05, "maximum_forgetting": 0.11}, []),
        (NEW, {"validated": True, "grouped": True}, []),
        (NEW, {"maximum_calibration_error": 0.04}, ["0.0500; the upper end is what counts"]),
        (NEW, {"maximum_forgetting": 0.1}, ["it is 0.0800, with a 95% interval of 0.0500"]),
        ({}, {"maximum_calibration_error": 0.5, "maximum_forgetting": 1.0}, ["recorded"] * 2),
        ({}, {"validated": True, "grouped": True}, ["not recorded", "isn't by groups"]),
        (NEW | {"ending": {"metric": "eval_loss"}}, {"validated": True}, ["have also picked"]),
        ({}, {}, []),
    ],
)
def test_each_figure_is_held_against_the_rule_and_what_is_missing_meets_nothing(
    metrics: dict[str, Any], demands: dict[str, Any], said: list[str]
) -> None:
    found = unmet(metrics, **demands)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_data_without_groups_need_no_interval_by_groups() -> None:
    one = Experiment(name="x", task="sft", model_name="m", dataset_name="d")
    assert not list(_unmet(one, PromotionRule(grouped=True)))


def test_a_rule_that_allows_more_is_weaker() -> None:
    rule = PromotionRule(maximum_forgetting=0.1, validated=True)
    assert PromotionRule(maximum_forgetting=0.2, validated=True).is_weaker_than(rule)
    assert PromotionRule(validated=True).is_weaker_than(rule)
    assert PromotionRule(maximum_forgetting=0.1).is_weaker_than(rule)
    assert not PromotionRule(maximum_forgetting=0.0, validated=True).is_weaker_than(rule)
    assert not rule.is_weaker_than(PromotionRule())
