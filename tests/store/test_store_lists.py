"""What every store keeps to: lists, filtered and sorted, and statistics."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.store.records import experiment, minutes

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import ExperimentStats
from tunesmith.store.entities.experiments import Experiment, Filters
from tunesmith.store.store import Store

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = ExperimentStatus


def ids(experiments: list[Experiment]) -> list[str]:
    return [one.id for one in experiments]


def fill(store: Store) -> list[Experiment]:
    """Five experiments, with ties and missing values; in the order of their ids."""
    rows = [
        ("Alpha", 0.9, 10.0, SUCCEEDED),
        ("beta_1", None, None, QUEUED),
        ("alpha%", 0.7, 30.0, SUCCEEDED),
        ("beta", 0.9, None, FAILED),
        ("gamma", None, 20.0, RUNNING),
    ]
    made = [
        experiment(
            name,
            id=f"{number:012x}",
            eval_accuracy=accuracy,
            train_runtime=runtime,
            status=status,
            created_at=minutes(number),
            config={"number": number},
            model_name="package:mini" if number % 2 else "distilBERT",
            dataset_name="films@2" if number in (1, 4) else "reviews.csv",
            owner="Ada" if number == 3 else "",
            reason="Out of memory." if status is FAILED else None,
            note="Größer, and 50% slower" if number == 1 else "",
            tags=("gold", "Über") if number == 2 else ("GOLD",) if number == 3 else (),
        )
        for number, (name, accuracy, runtime, status) in enumerate(rows)
    ]
    for one in random.Random(0).sample(made, len(made)):
        store.create(one)
    return made


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [4, 3, 2, 1, 0]),
        (Filters(desc=False), [0, 1, 2, 3, 4]),
        (Filters(sort_by="eval_accuracy"), [2, 0, 3, 1, 4]),
        (Filters(sort_by="eval_accuracy", desc=True), [3, 0, 2, 4, 1]),
        (Filters(sort_by="train_runtime"), [0, 4, 2, 1, 3]),
        (Filters(sort_by="train_runtime", desc=True), [2, 4, 0, 3, 1]),
        (Filters(name="ALPHA"), [2, 0]),
        (Filters(name="%"), [2]),
        (Filters(name="_"), [1]),
        (Filters(name="' OR 1=1 --"), []),
        (Filters(status=SUCCEEDED), [2, 0]),
        (Filters(model="BERT"), [4, 2, 0]),
        (Filters(model="_"), []),
        (Filters(dataset="films@"), [4, 1]),
        (Filters(dataset="%"), []),
        (Filters(owner="Ada"), [3]),
        (Filters(owner=""), [4, 2, 1, 0]),
        (Filters(owner="ada"), []),
        (Filters(text="Alpha"), [2, 0]),
        (Filters(text="films BETA_"), [1]),
        (Filters(text=" beta  memory "), [3]),
        (Filters(text="000004"), [4]),
        (Filters(text="bert beta"), []),
        (Filters(text="%"), [2, 1]),
        (Filters(text="   "), [4, 3, 2, 1, 0]),
        (Filters(text="Größe"), [1]),
        (Filters(text="SLOWER 50%"), [1]),
        (Filters(text="ÜBE"), [2]),
        (Filters(text="gol beta"), [3]),
        (Filters(tags=("gold",)), [3, 2]),
        (Filters(tags=("u\u0308ber ", "GOLD")), [2]),
        (Filters(tags=("gol",)), []),
        (Filters(tags=("%",)), []),
        (Filters(text="\x00 \ud800"), []),
        (Filters(name="\x00"), []),
        (Filters(name="a" * 1000, text="a " * 500), []),
        (Filters(name="/"), []),
        (Filters(name="a%"), [2]),
        (Filters(text="reviews", model="mini", min_accuracy=0.8), [3]),
        (Filters(min_accuracy=0.9), [3, 0]),
        (Filters(max_runtime=20.0), [4, 0]),
        (Filters(start_date=minutes(3)), [4, 3]),
        (Filters(end_date=minutes(1)), [1, 0]),
        (Filters(start_date=minutes(1), end_date=minutes(3), min_accuracy=0.8), [3]),
        (Filters(limit=2), [4, 3]),
        (Filters(limit=2, offset=1), [3, 2]),
        (Filters(offset=3), [1, 0]),
        (Filters(limit=0), []),
        (Filters(limit=10**30, offset=10**30), []),
    ],
)
def test_a_list_is_filtered_sorted_and_cut(
    store: Store, filters: Filters, expected: list[int]
) -> None:
    made = fill(store)
    assert store.list(filters) == [made[number] for number in expected]
    assert store.count(filters) == store.count(replace(filters, limit=None, offset=0))
    if filters.limit is None and not filters.offset:
        assert store.count(filters) == len(expected)


def test_names_sort_both_ways_as_each_other_reversed(store: Store) -> None:
    fill(store)
    up = ids(store.list(Filters(sort_by="name")))
    assert up == ids(store.list(Filters(sort_by="name", desc=True)))[::-1]
    assert up.index(f"{3:012x}") < up.index(f"{4:012x}")


def test_a_list_without_details_leaves_the_json_fields_empty(store: Store) -> None:
    made = fill(store)
    assert store.list(details=False) == [replace(one, config={}) for one in made[::-1]]


# -- statistics -------------------------------------------------------------------------------


def test_statistics_of_an_empty_store_are_zero_or_none(store: Store) -> None:
    assert store.stats() == ExperimentStats(
        total=0,
        by_status=dict.fromkeys(ExperimentStatus, 0),
        best_accuracy=None,
        mean_accuracy=None,
        total_runtime=0.0,
        mean_runtime=None,
    )


def test_statistics_count_and_average_what_has_a_value(store: Store) -> None:
    fill(store)
    stats = store.stats()
    assert stats.total == 5
    assert stats.by_status == {QUEUED: 1, RUNNING: 1, SUCCEEDED: 2, FAILED: 1, CANCELLED: 0}
    assert stats.best_accuracy == 0.9
    assert stats.mean_accuracy == pytest.approx(2.5 / 3)
    assert stats.total_runtime == pytest.approx(60.0)
    assert stats.mean_runtime == pytest.approx(20.0)
