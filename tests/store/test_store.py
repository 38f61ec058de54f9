"""What every store keeps to, whatever database is behind it: writing, reading, changing."""

from __future__ import annotations

import math
import random
from dataclasses import fields, replace
from datetime import timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.store.records import NOON, change, experiment, minutes, points

from tunesmith.errors import NotFoundError, StateError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import DatasetVersion, Experiment, Metric
from tunesmith.store.store import Store

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = ExperimentStatus


def full_experiment() -> Experiment:
    """An experiment with a value in every field."""
    whole = experiment(
        "reviews 影評 ✓",
        id="0123456789ab",
        status=SUCCEEDED,
        phase="verifying",
        progress=0.75,
        dataset_hash="sha256:1",
        dataset_version=3,
        config={"training": {"learning_rate": 5e-4, "device": None}, "a": [1, "two", True]},
        data={"train": {"rows": 2000}, "big": 2**60},
        environment={"torch": "2.13.0"},
        plan={"device": "cpu"},
        metrics={"eval_accuracy": 0.8, "note": "日本"},
        directory="/results/reviews_20260131_120000",
        reason="It was cancelled.\nBy its owner.",
        started_at=minutes(1),
        finished_at=minutes(2),
        train_runtime=61.5,
        eval_accuracy=0.8,
        score_name="accuracy",
        score=0.8,
        pid=2**22,
        host="machine",
        machine="0123456789abcdef",
        process_started=1.7e9 + 0.123456,
        owner="Ada",
        queue="gpu",
        priority=-3,
        rank=-1.5,
        runs_after="0123456789ab",
        restarts=2,
        worker="worker-1",
        lease="0" * 32,
        heartbeat=2**40,
        cancel_requested_at=minutes(3),
        time_left=12.5,
        note="Better than the one before.\nWhy?",
        tags=("Baseline", "影評"),
    )
    assert all(getattr(whole, field.name) is not None for field in fields(whole))
    return whole


# -- create, get, update ----------------------------------------------------------------------


def test_an_experiment_comes_out_as_it_went_in(store: Store) -> None:
    for one in (full_experiment(), experiment()):
        store.create(one)
        assert store.get(one.id) == one


def test_the_order_of_configuration_keys_is_kept(store: Store) -> None:
    config = {"z": 1, "a": {"y": 1, "b": 2}}
    one = experiment(config=config)
    store.create(one)
    kept = store.get(one.id).config
    assert list(kept) == ["z", "a"]
    assert list(kept["a"]) == ["y", "b"]


def test_times_come_out_in_utc_to_the_microsecond(store: Store) -> None:
    taipei = timezone(timedelta(hours=8))
    one = experiment(created_at=NOON.astimezone(taipei))
    store.create(one)
    kept = store.get(one.id).created_at
    assert kept == NOON
    assert kept.utcoffset() == timedelta(0)


def test_the_same_id_is_not_recorded_twice(store: Store) -> None:
    one = experiment()
    store.create(one)
    with pytest.raises(StateError, match=f"{one.id} is recorded already"):
        store.create(replace(one, name="other"))
    assert store.get(one.id) == one


def test_values_that_json_or_sql_cannot_say_are_kept_as_near_as_can_be(store: Store) -> None:
    class Colour(Enum):
        RED = "red"

    one = experiment(
        metrics={"loss": math.nan, "deep": [{"x": math.inf}], "ok": 1.5, 3: "three"},
        config={
            "path": Path("a/b"),
            "status": RUNNING,
            "colour": Colour.RED,
            "f32": np.float32(0.5),
            "i64": np.int64(7),
            "bad": np.float64("nan"),
            "tuple": (1, 2),
            "odd": "half \ud800 pair",
        },
        eval_accuracy=math.nan,
        score=math.inf,
        reason="a file called \udcff and a NUL \x00",
    )
    store.create(one)
    kept = store.get(one.id)
    assert kept.metrics == {"loss": None, "deep": [{"x": None}], "ok": 1.5, "3": "three"}
    assert kept.config == {
        "path": "a/b",
        "status": "running",
        "colour": "red",
        "f32": 0.5,
        "i64": 7,
        "bad": None,
        "tuple": [1, 2],
        "odd": "half \ufffd pair",
    }
    assert kept.eval_accuracy is None
    assert kept.score is None
    assert kept.reason == "a file called \ufffd and a NUL \ufffd"


def test_an_update_changes_what_it_names_and_nothing_else(store: Store) -> None:
    one, other = full_experiment(), experiment()
    store.create(one)
    store.create(other)
    change(store, one.id, progress=1.0, phase=None, metrics={"f1": math.nan}, finished_at=NOON)
    expected = replace(one, progress=1.0, phase=None, metrics={"f1": None}, finished_at=NOON)
    assert store.get(one.id) == expected
    assert store.get(other.id) == other


@pytest.mark.parametrize(
    "fields", [{"status": FAILED}, {"id": "0"}, {"colour": "red"}, {"tags": ("a",)}]
)
def test_an_update_refuses_fields_that_are_not_its_own(store: Store, fields: Any) -> None:
    one = experiment()
    store.create(one)
    with pytest.raises(ValueError, match=next(iter(fields))):
        change(store, one.id, **fields)
    assert store.get(one.id) == one


def test_an_update_without_changes_is_no_change(store: Store) -> None:
    one = experiment()
    store.create(one)
    change(store, one.id)
    assert store.get(one.id) == one


# -- edit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(ExperimentStatus))
def test_an_edit_changes_name_note_and_tags_at_any_status_and_nothing_else(
    store: Store, status: ExperimentStatus
) -> None:
    one, other = replace(full_experiment(), status=status), experiment(tags=("gold",))
    for each in (one, other):
        store.create(each)
    assert store.edit(one.id) == one
    renamed = store.edit(one.id, name="other", note="", tags=("new", "Gold", "gold"))
    assert renamed == replace(one, name="other", note="", tags=("Gold", "new"))
    assert store.edit(one.id, tags=()) == replace(renamed, tags=()) == store.get(one.id)
    assert store.get(other.id) == other
    with pytest.raises(NotFoundError):
        store.edit("0" * 12, tags=("gold",))


# -- status -----------------------------------------------------------------------------------


def test_a_status_changes_with_its_fields_when_it_was_the_expected_one(store: Store) -> None:
    one = experiment()
    store.create(one)
    changed = store.change_status(one.id, RUNNING, {QUEUED}, started_at=NOON, pid=7)
    assert changed == replace(one, status=RUNNING, started_at=NOON, pid=7)
    assert store.get(one.id) == changed


def test_a_status_that_was_not_expected_stays_and_is_said(store: Store) -> None:
    one = experiment(status=SUCCEEDED)
    store.create(one)
    with pytest.raises(StateError, match=r"is succeeded; only one that is queued or running can"):
        store.change_status(one.id, CANCELLED, {QUEUED, RUNNING}, reason="no")
    assert store.get(one.id) == one


def test_no_expected_status_changes_nothing(store: Store) -> None:
    one = experiment()
    store.create(one)
    with pytest.raises(StateError):
        store.change_status(one.id, CANCELLED, ())
    assert store.get(one.id) == one


@pytest.mark.parametrize("status", [SUCCEEDED, FAILED, CANCELLED])
def test_an_ended_experiment_is_deleted_with_its_metrics(
    store: Store, status: ExperimentStatus
) -> None:
    one, other = experiment(status=status), experiment(status=status)
    store.put(one, points(one.id, {1: 1.0}))
    store.put(other, points(other.id, {1: 1.0}))
    store.delete(one.id)
    assert store.list() == [other]
    assert store.metrics(one.id) == []
    assert store.metrics(other.id) == points(other.id, {1: 1.0})
    with pytest.raises(NotFoundError):
        store.delete(one.id)


@pytest.mark.parametrize("status", [QUEUED, RUNNING])
def test_a_live_experiment_is_not_deleted(store: Store, status: ExperimentStatus) -> None:
    one = experiment(status=status)
    store.put(one, points(one.id, {1: 1.0}))
    with pytest.raises(StateError, match=f"is {status}; only one that has ended"):
        store.delete(one.id)
    assert store.list() == [one]
    assert len(store.metrics(one.id)) == 1


# -- import -----------------------------------------------------------------------------------


def test_put_records_an_experiment_whole_and_again_changes_nothing(store: Store) -> None:
    one = full_experiment()
    history = points(one.id, {1: 1.0, 2: 0.5})
    for _ in range(2):
        store.put(one, history)
        assert store.list() == [one]
        assert store.metrics(one.id) == history


def test_put_replaces_what_was_recorded_metrics_too(store: Store) -> None:
    one = full_experiment()
    store.put(one, points(one.id, {1: 1.0, 2: 0.5}))
    other = experiment("other", id=one.id)
    store.put(other, points(one.id, {7: 7.0}))
    assert store.get(one.id) == other
    assert store.metrics(one.id) == points(one.id, {7: 7.0})


def test_put_refuses_metrics_of_another_experiment(store: Store) -> None:
    one = experiment()
    with pytest.raises(ValueError, match="does not belong"):
        store.put(one, points("0" * 12, {1: 1.0}))
    assert store.count() == 0


# -- dataset versions -------------------------------------------------------------------------


def full_version() -> DatasetVersion:
    """A version with a value in every field but its tags."""
    whole = DatasetVersion(
        name="reviews",
        number=3,
        hash="sha256:1",
        rows=100,
        columns=("text", "label"),
        splits={"train": 90, "validation": 10},
        split_by={"seed": 42, "fraction": 0.1},
        source="影評.csv",
        parent=2,
        label_counts={"0": 60, "1": 40},
        rules={"min_text_length": 5, "max_text_length": None},
        report={"rows_in": 101, "rows_out": 100, "counts": {"allow_empty": 1}},
        description="Without the empty review.",
        created_at=NOON,
        created_by="me@machine",
    )
    assert all(getattr(whole, field.name) for field in fields(whole) if field.name != "tags")
    return whole


def test_a_dataset_version_comes_back_whole_but_for_its_tags(store: Store) -> None:
    store.record_dataset(replace(full_version(), tags=("gold",)))
    assert store.datasets() == [full_version()]


def test_a_dataset_version_recorded_again_is_there_once(store: Store) -> None:
    first = full_version()
    for version in (first, first, replace(first, description="Better words.")):
        store.record_dataset(version)
    assert store.datasets() == [replace(first, description="Better words.")]


def test_dataset_versions_are_listed_newest_first(store: Store) -> None:
    first = full_version()
    second = replace(first, number=4, created_at=minutes(1))
    together = replace(first, number=5, created_at=minutes(1))
    other = replace(first, name="other", created_at=minutes(2))
    for version in (together, first, other, second):
        store.record_dataset(version)
    assert store.datasets() == [other, together, second, first]
    assert store.datasets("reviews") == [together, second, first]
    assert store.datasets("none") == []


# -- any history ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_any_history_leaves_what_a_dictionary_would_hold(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    kept: dict[str, Experiment] = {}
    history: dict[tuple[str, str, int], Metric] = {}
    for moment in range(120):
        action = chance.choice(["create", "update", "status", "metrics", "metrics", "put"])
        known = chance.choice(list(kept)) if kept else None
        if action == "create" or known is None:
            one = experiment(chance.choice("abc"), created_at=minutes(chance.randrange(9)))
            store.create(one)
            kept[one.id] = one
        elif action == "update":
            fields: dict[str, Any] = {
                "progress": chance.random(),
                "eval_accuracy": chance.choice([None, 0.5]),
            }
            change(store, known, **fields)
            kept[known] = replace(kept[known], **fields)
        elif action == "status":
            to, expected = (
                chance.choice(list(ExperimentStatus)),
                chance.sample([*ExperimentStatus], 2),
            )
            if kept[known].status in expected:
                kept[known] = replace(kept[known], status=to, phase=str(moment))
                assert store.change_status(known, to, expected, phase=str(moment)) == kept[known]
            else:
                with pytest.raises(StateError):
                    store.change_status(known, to, expected, phase=str(moment))
        elif action == "metrics":
            batch = points(known, {chance.randrange(20): chance.random() for _ in range(8)})
            store.add_metrics(batch)
            history |= {(point.experiment_id, point.name, point.step): point for point in batch}
        else:
            kept[known] = experiment("put", id=known)
            store.put(kept[known], [])
            history = {key: point for key, point in history.items() if key[0] != known}
    newest_first = sorted(kept.values(), key=lambda one: (one.created_at, one.id), reverse=True)
    assert store.list() == newest_first
    for experiment_id in kept:
        expected_points = [history[key] for key in sorted(history) if key[0] == experiment_id]
        assert store.metrics(experiment_id) == expected_points
