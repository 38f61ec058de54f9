"""What every store keeps to: which experiment a person means, and what a wrong guess gets."""

from __future__ import annotations

import pytest
from tests.store.records import experiment, minutes, points

from tunesmith.errors import NotFoundError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.store import Store

QUEUED, RUNNING = ExperimentStatus.QUEUED, ExperimentStatus.RUNNING


def test_an_experiment_is_found_by_id_beginning_name_and_latest(store: Store) -> None:
    old = experiment("first", id="aaaa00000000", created_at=minutes(0))
    new = experiment("first", id="aaaa11111111", created_at=minutes(1))
    last = experiment("second", id="bbbb00000000", created_at=minutes(2))
    for one in (last, old, new):
        store.create(one)
    assert store.find("aaaa00000000") == old
    assert store.find(" aaaa1 ") == new
    assert store.find("first") == new
    assert store.find("latest") == last
    assert store.find("bbbb") == last


def test_a_name_goes_before_the_beginning_of_an_id(store: Store) -> None:
    named, other = experiment("cafe"), experiment(id="cafe00000000")
    store.create(named)
    store.create(other)
    assert store.find("cafe") == named


def test_an_ambiguous_beginning_lists_its_matches(store: Store) -> None:
    store.create(experiment("one", id="aaaa00000000"))
    store.create(experiment("two", id="aaaa11111111"))
    with pytest.raises(NotFoundError, match="Several") as caught:
        store.find("aaaa")
    assert "aaaa00000000 (one)" in str(caught.value)
    assert "aaaa11111111 (two)" in str(caught.value)


@pytest.mark.parametrize(
    "reference", ["", "aaa", "aaaaaaaaaaaaaaaa", "%", "aaaa%", "\x00", "x" * 9999]
)
def test_a_reference_to_nothing_is_not_found(store: Store, reference: str) -> None:
    store.create(experiment("reviews", id="aaaa00000000"))
    with pytest.raises(NotFoundError, match="There is no experiment"):
        store.find(reference)


def test_the_nearest_name_or_id_is_named(store: Store) -> None:
    store.create(experiment("reviews-large", id="aaaa00000000"))
    with pytest.raises(NotFoundError, match="did you mean reviews-large"):
        store.find("review-large")
    with pytest.raises(NotFoundError, match="did you mean aaaa00000000"):
        store.get("aaaa00000001")
    with pytest.raises(NotFoundError, match=r"the newest is aaaa00000000 \(reviews-large\)"):
        store.find("zzz")


def test_an_empty_store_says_that_it_is_empty(store: Store) -> None:
    with pytest.raises(NotFoundError, match="none is recorded yet"):
        store.find("latest")


def test_every_method_says_which_experiment_is_missing(store: Store) -> None:
    for call in (
        lambda: store.get("0" * 12),
        lambda: store.change_status("0" * 12, RUNNING, {QUEUED}),
        lambda: store.add_metrics(points("0" * 12, {1: 1.0})),
    ):
        with pytest.raises(NotFoundError, match="000000000000"):
            call()
