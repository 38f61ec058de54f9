"""Histories of metrics: written, read whole, by name, and as samples that look like the whole."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from tests.store.records import NOON, experiment, minutes, points

from tunesmith.errors import NotFoundError, StorageError
from tunesmith.store.entities.experiments import Metric
from tunesmith.store.metric_points import choose
from tunesmith.store.store import Store

STEPS = 5000


def history(store: Store, values: dict[int, float]) -> str:
    """Id of a new experiment with these losses."""
    one = experiment()
    store.put(one, points(one.id, values))
    return one.id


# -- writing and reading ----------------------------------------------------------------------


def test_metrics_come_out_by_name_and_step(store: Store) -> None:
    one, other = experiment(), experiment()
    store.create(one)
    store.create(other)
    loss = points(one.id, {20: 0.5, 10: 0.7, 30: 0.25})
    accuracy = [Metric(one.id, 20, "eval_accuracy", 0.75, 1.0, minutes(1))]
    store.add_metrics(loss + accuracy)
    store.add_metrics(points(other.id, {10: 9.0}))
    in_order = sorted(loss, key=lambda point: point.step)
    assert store.metrics(one.id) == accuracy + in_order
    assert store.metrics(one.id, "loss") == in_order
    assert store.metrics(one.id, "loss", since_step=10) == in_order[1:]
    assert store.metrics(one.id, since_step=20) == in_order[2:]
    assert store.metrics("nothing") == []


def test_a_repeated_step_replaces_its_point(store: Store) -> None:
    one = experiment()
    store.create(one)
    store.add_metrics(points(one.id, {1: 1.0, 2: 2.0}))
    store.add_metrics(points(one.id, {2: 3.0}) + points(one.id, {2: 4.0, 3: 5.0}))
    assert [point.value for point in store.metrics(one.id)] == [1.0, 4.0, 5.0]


def test_a_loss_that_blew_up_is_kept(store: Store) -> None:
    one = experiment()
    store.create(one)
    store.add_metrics(points(one.id, {1: math.nan, 2: math.inf, 3: -math.inf}))
    first, *rest = (point.value for point in store.metrics(one.id))
    assert math.isnan(first)
    assert rest == [math.inf, -math.inf]


@pytest.mark.parametrize("count", [1, 499, 5000])
def test_any_number_of_points_is_recorded_and_replaced(store: Store, count: int) -> None:
    one = experiment()
    store.create(one)
    names = ["loss", 'a\ttab, a "quote", a \\ and a\nline', "影 \\N"]
    made = [
        Metric(one.id, step, name, chance, None if step % 2 else step / 3, minutes(step))
        for name in names
        for step, chance in enumerate(
            random.Random(count).choices([0.1, -1e300, math.inf], k=count)
        )
    ]
    store.add_metrics(made[::-1])
    assert store.metrics(one.id) == sorted(made, key=lambda point: (point.name, point.step))
    again = [replace(point, value=7.5) for point in made[: count // 2]]
    store.add_metrics(again)
    store.add_metrics(again)
    kept = {(point.name, point.step): point for point in made + again}
    assert store.metrics(one.id) == [kept[key] for key in sorted(kept)]


def test_no_metrics_are_recorded_when_one_belongs_to_nothing(store: Store) -> None:
    one = experiment()
    store.create(one)
    with pytest.raises(NotFoundError):
        store.add_metrics(points(one.id, {1: 1.0}) + points("0" * 12, {1: 1.0}))
    assert store.metrics(one.id) == []
    store.add_metrics([])


def test_points_that_the_server_refuses_are_told_and_none_is_kept(postgres_url: str) -> None:
    with Store(postgres_url) as store:
        one = experiment()
        store.create(one)
        good = points(one.id, dict.fromkeys(range(500), 0.5))
        with pytest.raises(StorageError, match="out of range"):
            store.add_metrics([*good, Metric(one.id, 2**63, "loss", 0.5)])
        with pytest.raises(ValueError, match="no zone"):
            store.add_metrics([*good, Metric(one.id, 1, "a", 0.5, None, datetime(2026, 1, 1))])  # noqa: DTZ001
        assert store.metrics(one.id) == []
        store.add_metrics(good)
        assert store.metrics(one.id) == good


# -- names and samples ------------------------------------------------------------------------


def test_a_short_history_comes_out_whole(store: Store) -> None:
    one = experiment()
    kept = [Metric(one.id, step, "loss", step / 7, step / 100, NOON) for step in range(1, 11)]
    store.put(one, [*kept, Metric(one.id, 5, "accuracy", 0.5)])
    assert store.metrics_sampled(one.id, "loss") == kept
    assert store.metrics_sampled(one.id, "loss", points=10) == kept
    assert store.metrics_sampled(one.id, "loss", since_step=4, points=6) == kept[4:]
    assert store.metrics_sampled(one.id, "nothing") == []
    assert store.metrics_sampled("0" * 12, "loss") == []


def test_a_long_history_is_sampled_from_its_own_points_with_ends_and_extremes(
    store: Store,
) -> None:
    values = {10 * step: math.sin(step / 300) + 0.001 * (step % 7) for step in range(STEPS)}
    values |= {12340: 99.0, 12350: -99.0}
    experiment_id = history(store, values)
    whole = store.metrics(experiment_id)
    sampled = store.metrics_sampled(experiment_id, "loss", points=200)
    assert 190 <= len(sampled) <= 200
    assert [point for point in whole if point in set(sampled)] == sampled
    steps = [point.step for point in sampled]
    assert steps == sorted(steps)
    assert {0, 12340, 12350, 10 * (STEPS - 1)} <= set(steps)
    later = store.metrics_sampled(experiment_id, "loss", since_step=40000, points=100)
    assert (later[0].step, later[-1].step) == (40010, 10 * (STEPS - 1))
    assert len(later) <= 100


def test_a_loss_that_blew_up_is_seen_in_the_sample(store: Store) -> None:
    values = {step: 1.0 / (step + 1) for step in range(STEPS)}
    values |= {100: math.inf, 2000: -math.inf} | dict.fromkeys(range(4000, STEPS), math.nan)
    sampled = store.metrics_sampled(history(store, values), "loss", points=200)
    found = {point.step: point.value for point in sampled}
    assert found[100] == math.inf
    assert found[2000] == -math.inf
    assert sum(math.isnan(value) for value in found.values()) >= 20
    assert len(found) <= 200


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 6, 7, 8, 100, 999, STEPS - 1])
@pytest.mark.parametrize("kind", ["random", "constant", "NaN", "infinite"])
def test_never_more_are_chosen_than_were_asked_for(kind: str, most: int) -> None:
    values = {
        "random": np.random.default_rng(0).normal(size=STEPS),
        "constant": np.ones(STEPS),
        "NaN": np.full(STEPS, np.nan),
        "infinite": np.full(STEPS, np.inf),
    }[kind]
    chosen = choose(values.tolist(), most)
    assert 1 <= len(chosen) <= most
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == STEPS - 1
    assert most == 1 or chosen[0] == 0
    if kind == "random" and most >= 4:
        assert {int(values.argmax()), int(values.argmin())} <= set(chosen)


def test_no_points_cannot_be_asked_for(store: Store) -> None:
    with pytest.raises(ValueError, match="at least 1 point"):
        store.metrics_sampled("0" * 12, "loss", points=0)


def test_the_names_of_metrics_are_listed_in_order(store: Store) -> None:
    one, other = experiment(), experiment()
    store.create(one)
    store.create(other)
    for name in ("loss", "eval_loss", "Größe", "a b", ""):
        store.add_metrics(points(one.id, {1: 1.0, 2: 0.5}, name))
    store.add_metrics(points(other.id, {1: 1.0}, "accuracy"))
    assert store.metric_names(one.id) == sorted(["loss", "eval_loss", "Größe", "a b", ""])
    assert store.metric_names(other.id) == ["accuracy"]
    assert store.metric_names("0" * 12) == []
