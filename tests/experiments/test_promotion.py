"""The promotion rule of a version that is to go into production, and what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tunesmith.errors import StateError, UserError
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.registry.promotion import (
    PromotionRefusedError,
    change_stage,
    register,
    version_of,
)
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import WEIGHTS
from tunesmith.files.writing import write_lines
from tunesmith.schemas.enums import ExperimentStatus, Stage
from tunesmith.settings import Settings
from tunesmith.statistics.intervals import wilson
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.entities.registry import AdapterVersion, PromotionRule
from tunesmith.store.store import Store


def trained(
    store: Store,
    settings: Settings,
    right: int,
    *,
    rows: int = 100,
    evaluation: str = "same",
    answers: float | None = None,
) -> Experiment:
    """An experiment that has the first `right` of `rows` evaluation rows right.

    `answers`: the lower end of the share that it answers.
    """
    files = ExperimentFolder.create(settings.results_dir, "reviews", utc_now())
    interval = wilson(right, rows)
    one = Experiment(
        name="reviews", status=ExperimentStatus.SUCCEEDED, task="text-classification",
        model_name="some/model", dataset_name="reviews.csv", dataset_hash="sha256:all",
        dataset_version=2, directory=str(files.path.resolve()),
        data={"dataset": "reviews", "splits": {"evaluation": {"rows": rows, "hash": evaluation}}},
        environment={"base_model": {"identity": "sha256:base"}},
        score_name="accuracy", score=right / rows,
        metrics={"reload_verified": True, "score": {"interval": {
            "low": interval.low, "high": interval.high, "method": "Wilson", "rows": rows}}},
    )  # fmt: skip
    if answers is not None:
        coverage = {"value": 0.7, "low": answers, "high": 0.75}
        one = replace(one, metrics={**one.metrics, "selective": {"coverage": coverage}})
    lines = ({"row": n, "expected": "good", "correct": n <= right} for n in range(1, rows + 1))
    write_lines(files.predictions, lines)
    files.adapter.mkdir(parents=True)
    for name in ("adapter_config.json", "tunesmith.json", WEIGHTS):
        (files.adapter / name).write_text(f"{right} of {rows}", encoding="utf-8")
    files.write_record(one)
    store.create(one)
    return one


class Shelf:
    """The name `reviews` in a store, and what is done with it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings

    def add(self, right: int, **fields: Any) -> AdapterVersion:
        """A new version of `reviews`."""
        one = trained(self.store, self.settings, right, **fields)
        return register(version_of(one, "reviews", "0" * 64, by="ada"), self.store, owner="ada")

    def demand(self, **demands: Any) -> None:
        """Demand this of `reviews`."""
        self.store.registry.edit("reviews", demands=PromotionRule(**demands))

    def promote(self, version: AdapterVersion, **fields: Any) -> AdapterVersion:
        """Into production."""
        moved = change_stage(version, Stage.PRODUCTION, self.store, self.settings, **fields)
        return moved.version


@pytest.fixture
def shelf(store: Store, settings: Settings) -> Shelf:
    """No version yet."""
    return Shelf(store, settings)


def test_a_version_keeps_what_was_known_of_its_experiment(shelf: Shelf) -> None:
    version = shelf.add(85)
    assert (version.reference, version.stage) == ("reviews@1", Stage.CANDIDATE)
    assert (version.dataset, version.model_identity) == ("reviews@2", "sha256:base")
    assert (version.score, version.rows, version.reload_verified) == (0.85, 100, True)
    assert version.low == pytest.approx(0.767, abs=1e-3)
    assert shelf.store.registry.get("reviews").owner == "ada"
    assert shelf.add(86).number == 2


def test_the_lower_end_of_the_interval_is_what_must_reach_the_minimum(shelf: Shelf) -> None:
    version = shelf.add(85)
    shelf.demand(minimum_score=0.8)
    with pytest.raises(PromotionRefusedError) as refused:
        shelf.promote(version)
    (told,) = refused.value.unmet
    assert told == (
        "minimum_score 0.8: its accuracy is 0.8500, with a 95% interval of 0.7672 to 0.9069 from "
        "100 rows; the lower end is what counts."
    )
    assert shelf.promote(shelf.add(880, rows=1000)).stage is Stage.PRODUCTION


def test_the_share_that_is_answered_can_be_demanded(shelf: Shelf) -> None:
    without, few, enough = (shelf.add(85, answers=low) for low in (None, 0.55, 0.65))
    shelf.demand(minimum_coverage=0.6)
    with pytest.raises(PromotionRefusedError, match=r"without task\.selective_accuracy"):
        shelf.promote(without)
    with pytest.raises(PromotionRefusedError, match=r"it answers 0\.7000 of the test rows"):
        shelf.promote(few)
    assert shelf.promote(enough).stage is Stage.PRODUCTION
    rule = PromotionRule(minimum_coverage=0.5)
    assert rule.is_weaker_than(PromotionRule(minimum_coverage=0.6))
    assert not rule.is_weaker_than(PromotionRule())


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (
            {"low": None, "high": None},
            "its accuracy of 1.0000 has no interval, and the lower",
        ),
        (
            {"low": 1.0, "high": 1.0, "method": "bootstrap"},
            "made by a bootstrap, which is too narrow with few rows. Train it again",
        ),
    ],
)
def test_a_minimum_is_not_reached_where_no_interval_is_honest(
    shelf: Shelf, version: dict[str, Any], told: str
) -> None:
    one = trained(shelf.store, shelf.settings, 3, rows=3)
    found = replace(version_of(one, "reviews", "0" * 64, by="ada"), **version)
    registered = register(found, shelf.store, owner="ada")
    shelf.demand(minimum_score=0.8)
    with pytest.raises(PromotionRefusedError) as refused:
        shelf.promote(registered)
    assert told in refused.value.unmet[0]


def test_better_than_production_is_what_the_paired_test_says(shelf: Shelf) -> None:
    first, alike, better = shelf.add(70), shelf.add(72), shelf.add(90)
    elsewhere = shelf.add(99, evaluation="other")
    shelf.demand(better_than_production=True)
    shelf.promote(first)  # there is nothing yet that it would have to be better than
    with pytest.raises(
        PromotionRefusedError, match="Not distinguishable from the first"
    ) as refused:
        shelf.promote(alike)
    assert "held against reviews@1, here the first" in refused.value.unmet[0]
    assert "2 of 100 rows right" in refused.value.unmet[0]
    with pytest.raises(PromotionRefusedError, match="judged by different evaluation rows"):
        shelf.promote(elsewhere)
    assert shelf.promote(better).stage is Stage.PRODUCTION
    assert shelf.store.registry.version("reviews", 1).stage is Stage.ARCHIVED


def test_every_unmet_demand_is_told_at_once_and_forcing_needs_a_reason_that_stays(
    shelf: Shelf,
) -> None:
    shelf.promote(shelf.add(90))
    one = trained(shelf.store, shelf.settings, 70)
    one = replace(one, metrics={**one.metrics, "reload_verified": False})
    version = register(version_of(one, "reviews", "0" * 64), shelf.store)
    shelf.demand(minimum_score=0.9, verified=True, better_than_production=True)
    with pytest.raises(PromotionRefusedError) as refused:
        shelf.promote(version)
    assert [each.partition(":")[0] for each in refused.value.unmet] == [
        "minimum_score 0.9", "verified", "better_than_production",
    ]  # fmt: skip
    assert all(each in str(refused.value) for each in refused.value.unmet)
    with pytest.raises(UserError, match="needs a comment"):
        shelf.promote(version, force=True, comment=" ")
    with pytest.raises(StateError, match="its weights are others"):
        shelf.promote(version, force=True, comment="now", fault="its weights are others")
    assert shelf.promote(version, force=True, comment="the shop asked", by="root").number == 2
    last = max(shelf.store.registry.history("reviews"), key=lambda each: (each.number, each.step))
    assert (last.actor, last.forced, last.comment) == ("root", True, "the shop asked")
    assert last.unmet == refused.value.unmet


def test_demands_are_held_against_production_alone(shelf: Shelf) -> None:
    version = shelf.add(50)
    shelf.demand(minimum_score=0.9)
    staged = change_stage(version, Stage.STAGING, shelf.store, shelf.settings, by="ada").version
    assert staged.stage is Stage.STAGING
    with pytest.raises(StateError, match="is in staging already"):
        change_stage(staged, Stage.STAGING, shelf.store, shelf.settings)


def test_deleting_an_experiment_that_is_registered_touches_none_of_its_files(shelf: Shelf) -> None:
    version = shelf.add(80)
    folder = ExperimentFolder(shelf.settings.results_dir)
    names = sorted(path.name for path in folder.path.rglob("*"))
    with pytest.raises(StateError, match=r"reviews@1 \(candidate\) rests on it"):
        control.delete(version.experiment_id, shelf.store, shelf.settings)
    assert sorted(path.name for path in folder.path.rglob("*")) == names
    change_stage(version, Stage.ARCHIVED, shelf.store, shelf.settings)
    assert control.delete(version.experiment_id, shelf.store, shelf.settings)
