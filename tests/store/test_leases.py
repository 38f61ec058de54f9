"""Leases: who holds one writes, who lost one writes nothing; and racing for them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from tests.store.records import (
    NOON,
    answers,
    change,
    enqueue,
    experiment,
    minutes,
    points,
    python,
    running,
    take,
)

from tunesmith.errors import LeaseLostError, NotFoundError, StateError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, Filters, Metric
from tunesmith.store.store import Store

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = ExperimentStatus


# -- leases -----------------------------------------------------------------------------------


def test_a_renewed_lease_counts_and_changes_what_it_names(store: Store) -> None:
    taken = running(store, config={"a": 1})
    change(store, taken.id, cancel_requested_at=minutes(5))
    renewed = store.queue.renew(taken.id, "lease", progress=0.5, pid=9)
    whole = replace(taken, heartbeat=2, progress=0.5, pid=9, cancel_requested_at=minutes(5))
    assert renewed == replace(whole, config={})
    assert store.get(taken.id) == whole


def test_a_write_under_a_lease_changes_what_it_names_and_no_count(store: Store) -> None:
    taken = running(store)
    store.queue.write(taken.id, "lease", phase="training", plan={"device": "cpu"})
    assert store.get(taken.id) == replace(taken, phase="training", plan={"device": "cpu"})
    store.queue.write(taken.id, "lease")


def test_what_trains_goes_on_after_an_edit_and_undoes_nothing_of_it(store: Store) -> None:
    taken = running(store)
    edited = store.edit(taken.id, name="other", note="why", tags=("gold",))
    assert edited == replace(taken, name="other", note="why", tags=("gold",))
    store.queue.write(taken.id, "lease", phase="training")
    assert store.queue.renew(taken.id, "lease", progress=0.5) is not None
    again = store.queue.requeue(taken.id, [RUNNING], last=False, lease="lease")
    assert (again.name, again.note, again.tags) == ("other", "why", ("gold",))
    ((_, waiting),) = store.queue.first(1)
    assert waiting.tags == ("gold",)


def test_points_are_deleted_under_the_lease_alone(store: Store) -> None:
    taken, other = running(store), running(store, lease="other")
    for one in (taken, other):
        store.add_metrics(points(one.id, {1: 0.5, 2: 0.25}))
    with pytest.raises(LeaseLostError):
        store.delete_metrics(taken.id, lease="other")
    store.delete_metrics(taken.id, lease="lease")
    assert store.metrics(taken.id) == []
    assert len(store.metrics(other.id)) == 2


@pytest.mark.parametrize("change", [{"status": FAILED}, {"id": "0"}, {"colour": "red"}])
def test_writes_under_a_lease_refuse_fields_that_are_not_their_own(
    store: Store, change: Any
) -> None:
    taken = running(store)
    calls: list[Callable[[], object]] = [
        lambda: store.queue.renew(taken.id, "lease", **change),
        lambda: store.queue.write(taken.id, "lease", **change),
        lambda: store.queue.requeue(taken.id, {RUNNING}, last=True, **change),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=next(iter(change))):
            call()
    assert store.get(taken.id) == taken


def lose(store: Store, taken: Experiment, how: str) -> Experiment:
    """Take the experiment from the one who holds it under "lease"."""
    if how == "ended":
        return store.change_status(taken.id, FAILED, {RUNNING}, reason="killed")
    store.queue.requeue(taken.id, {RUNNING}, last=False)
    if how == "taken by another":
        assert take(store, lease="another") is not None
    if how == "deleted":
        store.change_status(taken.id, CANCELLED, {QUEUED})
        store.delete(taken.id)
        return taken
    return store.get(taken.id)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("ended", "it is failed now"),
        ("queued", "it is queued now"),
        ("taken by another", "another process was given it, and runs it now by worker w"),
        ("deleted", "is not recorded any more"),
    ],
)
def test_who_lost_the_lease_writes_nothing_and_is_told(store: Store, how: str, told: str) -> None:
    taken = running(store)
    left = lose(store, taken, how)
    assert store.queue.renew(taken.id, "lease", progress=1.0) is None
    calls: list[Callable[[], object]] = [
        lambda: store.queue.write(taken.id, "lease", progress=1.0),
        lambda: store.queue.write(taken.id, "lease"),
        lambda: store.add_metrics([Metric(taken.id, 1, "loss", 0.5)], lease="lease"),
    ]
    if how != "deleted":
        calls.append(lambda: store.queue.requeue(taken.id, {RUNNING}, last=False, lease="lease"))
    for call in calls:
        with pytest.raises(LeaseLostError, match=told):
            call()
    if how != "deleted":
        assert store.get(taken.id) == left
    assert store.metrics(taken.id) == []


def test_an_end_under_a_lost_lease_changes_nothing(store: Store) -> None:
    taken = running(store)
    left = lose(store, taken, "taken by another")
    with pytest.raises(LeaseLostError, match="another process was given it"):
        store.change_status(taken.id, SUCCEEDED, {RUNNING}, under="lease", progress=1.0)
    assert store.get(taken.id) == left
    ended = store.change_status(taken.id, SUCCEEDED, {RUNNING}, under="another", lease=None)
    assert ended == replace(left, status=SUCCEEDED, lease=None)


def test_an_end_under_the_right_lease_from_a_wrong_status_is_a_matter_of_status(
    store: Store,
) -> None:
    taken = running(store)
    with pytest.raises(StateError, match="only one that is queued can become"):
        store.change_status(taken.id, CANCELLED, {QUEUED}, under="lease")
    assert store.get(taken.id) == taken


def test_metrics_under_a_lease_are_written_for_what_it_holds_alone(store: Store) -> None:
    taken, other = running(store), running(store, lease="another")
    mine, theirs = points(taken.id, {1: 1.0}), points(other.id, {1: 2.0})
    store.add_metrics(mine, lease="lease")
    with pytest.raises(LeaseLostError):
        store.add_metrics(points(taken.id, {2: 1.0}) + theirs, lease="lease")
    assert store.metrics(taken.id) == mine
    assert store.metrics(other.id) == []
    store.add_metrics([], lease="nobody's")


# -- waiting again ----------------------------------------------------------------------------


def test_what_waits_again_is_held_by_nobody_and_keeps_its_place(store: Store) -> None:
    first = enqueue(store, "first")
    enqueue(store, "second")
    taken = take(store, pid=7, process_started=1.5)
    assert taken is not None
    store.queue.write(taken.id, "lease", time_left=5.0, progress=0.25)
    again = store.queue.requeue(
        taken.id, {RUNNING}, last=False, lease="lease", restarts=1, reason="It died."
    )
    expected = replace(
        first, heartbeat=1, started_at=taken.started_at, progress=0.25, restarts=1,
        reason="It died.",
    )  # fmt: skip
    assert again == expected
    assert store.get(first.id) == expected
    assert store.queue.positions([first.id]) == {first.id: 1}


def test_what_waits_again_as_the_last_gets_a_new_place(store: Store) -> None:
    first, second = enqueue(store, "first"), enqueue(store, "second")
    assert take(store) is not None
    again = store.queue.requeue(first.id, {RUNNING}, last=True)
    assert again.rank > second.rank
    assert store.queue.positions() == {second.id: 1, first.id: 2}


def test_one_that_ended_can_wait_in_a_queue_that_it_is_given(store: Store) -> None:
    one = experiment(
        status=CANCELLED, cancel_requested_at=NOON, finished_at=NOON, lease="old", pid=7
    )
    store.create(one)
    with pytest.raises(StateError, match="belongs to no queue"):
        store.queue.requeue(one.id, {CANCELLED}, last=True)
    assert store.get(one.id) == one
    again = store.queue.requeue(one.id, {FAILED, CANCELLED}, last=True, queue="cpu")
    assert again == replace(
        one, status=QUEUED, queue="cpu", rank=1.0, cancel_requested_at=None, finished_at=None,
        lease=None, pid=None,
    )  # fmt: skip


def test_one_of_another_status_does_not_wait_again(store: Store) -> None:
    taken = running(store)
    with pytest.raises(StateError, match="is running; only one that is cancelled or failed can"):
        store.queue.requeue(taken.id, {FAILED, CANCELLED}, last=True)
    with pytest.raises(NotFoundError):
        store.queue.requeue("0" * 12, {RUNNING}, last=True)
    assert store.get(taken.id) == taken


def test_one_that_was_asked_to_stop_does_not_wait_again(store: Store) -> None:
    taken = running(store)
    store.queue.write(taken.id, "lease", cancel_requested_at=NOON)
    for lease in ("lease", None):
        with pytest.raises(StateError, match="was asked to stop: it is to be cancelled"):
            store.queue.requeue(taken.id, {RUNNING}, last=False, lease=lease)
    assert store.get(taken.id).status is RUNNING


# -- races ------------------------------------------------------------------------------------


def together(*calls: Callable[[], object]) -> list[object]:
    """What each call returns or raises, all begun at once in threads of their own."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[object] = [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = calls[number]()
        except (LeaseLostError, StateError) as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_many_threads_each_takes_another_one(store: Store) -> None:
    waiting = {enqueue(store, str(number)).id for number in range(20)}

    def take_all(name: str) -> list[str]:
        taken = []
        while (one := take(store, worker=name, lease=name)) is not None:
            taken.append(one.id)
        return taken

    outcomes = together(*(lambda name=str(n): take_all(name) for n in range(8)))
    taken = Counter(one for outcome in outcomes for one in outcome)  # type: ignore[attr-defined]
    assert taken.keys() == waiting
    assert set(taken.values()) == {1}


TAKE_ALL = """
import sys
from tunesmith.store.store import Store
with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    def take():
        return store.queue.take(
            ["cpu"], lease=sys.argv[2], worker=sys.argv[2], host="h", phase="p"
        )
    while one := take():
        print(one.id, flush=True)
"""


def test_of_many_processes_each_takes_another_one(url: str) -> None:
    with Store(url) as store:
        waiting = {enqueue(store, str(number)).id for number in range(50)}
        outputs = answers([python(TAKE_ALL, url, f"lease {number}") for number in range(8)])
        taken = Counter(line for output in outputs for line in output.split())
        assert taken.keys() == waiting
        assert set(taken.values()) == {1}
        for number, output in enumerate(outputs):
            assert {store.get(one).lease for one in output.split()} <= {f"lease {number}"}
        assert store.count(Filters(status=RUNNING)) == 50


def test_experiments_queued_together_get_different_ranks(store: Store) -> None:
    outcomes = together(*(lambda: enqueue(store) for _ in range(8)))
    assert len({one.rank for one in outcomes if isinstance(one, Experiment)}) == 8


@pytest.mark.parametrize("_", range(5))
def test_renewing_races_with_giving_back_and_both_outcomes_are_whole(store: Store, _: int) -> None:
    taken = running(store)
    renewed, again, written = together(
        lambda: store.queue.renew(taken.id, "lease", progress=0.5),
        lambda: store.queue.requeue(taken.id, {RUNNING}, last=False, lease="lease"),
        lambda: store.add_metrics(points(taken.id, {1: 1.0}), lease="lease"),
    )
    assert isinstance(again, Experiment)
    kept = store.get(taken.id)
    assert (kept.status, kept.lease) == (QUEUED, None)
    assert kept.heartbeat == (1 if renewed is None else 2)
    assert kept.progress == (0.0 if renewed is None else 0.5)
    assert len(store.metrics(taken.id)) == (0 if isinstance(written, LeaseLostError) else 1)


def test_of_two_who_take_up_a_dead_lease_one_succeeds(store: Store) -> None:
    taken = running(store)
    outcomes = together(
        *(
            lambda: store.queue.requeue(
                taken.id, {RUNNING}, last=False, lease="lease", restarts=taken.restarts + 1
            )
            for _ in range(4)
        )
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "Experiment", "LeaseLostError", "LeaseLostError", "LeaseLostError",
    ]  # fmt: skip
    assert store.get(taken.id).restarts == 1


def test_what_another_connection_holds_is_passed_over(postgres_url: str) -> None:
    with Store(postgres_url) as store:
        best, second = enqueue(store, "best"), enqueue(store, "second")
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            connection.execute(
                text("SELECT id FROM experiments WHERE id = :id FOR UPDATE"), {"id": best.id}
            )
            taken = take(store)
            assert taken is not None
            assert taken.id == second.id
            assert take(store) is None
        engine.dispose()
        taken = take(store)
        assert taken is not None
        assert taken.id == best.id


def test_metrics_wait_for_who_takes_the_experiment_away_and_are_then_refused(
    postgres_url: str,
) -> None:
    with Store(postgres_url) as store:
        taken = running(store)
        outcomes: list[object] = []
        writer = threading.Thread(
            target=lambda: outcomes.extend(
                together(lambda: store.add_metrics(points(taken.id, {1: 1.0}), lease="lease"))
            )
        )
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE experiments SET lease = 'another'"))
            writer.start()
            waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            with engine.connect() as watcher:
                while not watcher.scalar(waits):
                    watcher.rollback()
        writer.join()
        engine.dispose()
        assert isinstance(outcomes[0], LeaseLostError)
        assert store.metrics(taken.id) == []


# -- holding what has ended -------------------------------------------------------------------


def test_who_begins_an_ended_experiment_waits_while_it_is_held_as_it_was(store: Store) -> None:
    one = experiment(status=FAILED, queue="cpu", heartbeat=3)
    store.create(one)
    beginning = threading.Thread(
        target=lambda: store.queue.requeue(one.id, {FAILED}, last=True), daemon=True
    )
    with store.held_as(one) as same:
        assert same
        beginning.start()
        beginning.join(0.2)
        assert store.get(one.id).status is FAILED
    beginning.join()
    assert store.get(one.id).status is QUEUED
    assert take(store) is not None
    store.change_status(one.id, FAILED, {RUNNING}, lease=None)
    for then in (one, store.get(one.id)):
        with store.held_as(then) as same:
            assert same is (then.heartbeat == 4), "it was begun since, though it failed again"
    waiting = enqueue(store)
    with store.held_as(waiting) as same:
        assert not same, "it has not ended"
