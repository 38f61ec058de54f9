"""The queue as the store keeps it: order, taking, leases, waiting again, workers."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from tests.store.records import BOTH, NOON, change, enqueue, experiment, minutes, running, take

from tunesmith.errors import NotFoundError, StateError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.service import Queue
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = ExperimentStatus


# -- waiting ----------------------------------------------------------------------------------


def test_an_experiment_that_is_queued_is_recorded_with_a_rank_after_all_others(
    store: Store,
) -> None:
    store.create(experiment("old", rank=41.0, status=SUCCEEDED))
    first = enqueue(store, "first", queue="gpu", runs_after="0123456789ab", priority=7)
    second = enqueue(store, "second")
    assert (first.rank, second.rank) == (42.0, 43.0)
    assert store.get(first.id) == first
    assert store.get(second.id) == second


def test_an_experiment_of_several_processes_waits_for_who_has_room_for_them(
    store: Store,
) -> None:
    two = enqueue(store, "two", config={"training": {"processes": 2, "device": None}})
    plain = enqueue(store, "plain", config={"training": {"device": "cuda"}})
    cpu = enqueue(store, "cpu", config={"training": {"processes": 4, "device": "cpu"}})
    taken = [take(store, most_processes=1) for _ in range(3)]
    assert [found and found.id for found in taken] == [plain.id, cpu.id, None]
    found = take(store, most_processes=2)
    assert found is not None
    assert found.id == two.id


def test_only_a_queued_experiment_with_a_queue_is_queued_and_only_once(store: Store) -> None:
    for wrong in (experiment(), experiment(queue="cpu", status=RUNNING)):
        with pytest.raises(StateError, match="no queue to wait in"):
            store.queue.enqueue(wrong)
    with pytest.raises(NotFoundError, match="did you mean gpu"):
        store.queue.enqueue(experiment(queue="gpus"))
    one = enqueue(store)
    with pytest.raises(StateError, match="recorded already"):
        store.queue.enqueue(one)
    assert store.list() == [one]


def test_positions_count_each_queue_from_one_in_the_order_of_taking(store: Store) -> None:
    late = enqueue(store, "late")
    urgent = enqueue(store, "urgent", priority=5)
    other = enqueue(store, "other", queue="gpu")
    later = enqueue(store, "later")
    store.create(experiment("local"))
    running_one = take(store, "gpu")
    assert running_one is not None
    assert running_one.id == other.id
    expected = {urgent.id: 1, late.id: 2, later.id: 3}
    assert store.queue.positions() == expected
    assert store.queue.positions([later.id, other.id, "nothing"]) == {later.id: 3}
    assert store.queue.positions([]) == {}


def test_the_first_that_wait_come_with_their_places_a_page_at_a_time(store: Store) -> None:
    second, third = enqueue(store, "second"), enqueue(store, "third")
    other = enqueue(store, "other", queue="gpu")
    first = enqueue(store, "first", priority=5)
    store.create(experiment("local"))
    expected = [(1, first.id), (1, other.id), (2, second.id), (3, third.id)]
    assert [(place, one.id) for place, one in store.queue.first(10)] == expected
    assert [(place, one.id) for place, one in store.queue.first(2, 1)] == expected[1:3]
    assert store.queue.first(10, 4) == []
    assert store.queue.first(1)[0][1].config == {}


@pytest.mark.parametrize("seed", range(3))
def test_experiments_are_taken_in_the_order_of_their_positions(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    waiting = [
        enqueue(store, str(n), priority=chance.randint(-1, 1), queue=chance.choice(BOTH))
        for n in range(12)
    ]
    for one in chance.sample(waiting, 4):
        store.queue.move_to_front(one.id)
    for one in chance.sample(waiting, 4):
        store.queue.set_priority(one.id, chance.randint(-2, 2))
    for queue in BOTH:
        mine = [one.id for one in waiting if one.queue == queue]
        places = store.queue.positions(mine)
        assert sorted(places.values()) == list(range(1, len(mine) + 1))
        taken = [take(store, queue) for _ in mine]
        assert [one.id for one in taken if one] == sorted(mine, key=places.__getitem__)
        assert take(store, queue) is None


def test_equal_ranks_are_taken_by_id(store: Store) -> None:
    for number in (2, 0, 1):
        store.create(experiment(id=f"{number:012x}", queue="cpu"))
    taken = [take(store) for _ in range(3)]
    assert [one.id for one in taken if one] == [f"{number:012x}" for number in range(3)]


def test_what_is_moved_to_the_front_is_first_whatever_the_priorities(store: Store) -> None:
    first = enqueue(store, "first", priority=9)
    second, third = enqueue(store, "second"), enqueue(store, "third")
    elsewhere = enqueue(store, "elsewhere", queue="gpu", priority=50)
    store.queue.move_to_front(third.id)
    assert store.queue.positions() == {third.id: 1, first.id: 2, second.id: 3, elsewhere.id: 1}
    assert store.get(third.id).priority == 9
    store.queue.move_to_front(second.id)
    assert store.queue.positions([second.id, third.id]) == {second.id: 1, third.id: 2}


def test_only_what_waits_in_a_queue_can_be_moved(store: Store) -> None:
    taken, local = running(store), experiment("local")
    store.create(local)
    for call in (store.queue.move_to_front, lambda one: store.queue.set_priority(one, 3)):
        with pytest.raises(StateError, match="is running; only one that waits in a queue"):
            call(taken.id)
        with pytest.raises(StateError, match="waits in no queue"):
            call(local.id)
        with pytest.raises(NotFoundError, match="0000"):
            call("0" * 12)
    assert store.get(taken.id) == taken
    assert store.get(local.id) == local


# -- taking -----------------------------------------------------------------------------------


def test_what_is_taken_runs_under_the_lease_of_its_taker(store: Store) -> None:
    waiting = enqueue(store, config={"a": 1})
    change(
        store, waiting.id, reason="It died.", finished_at=NOON, cancel_requested_at=NOON,
        time_left=9.0, heartbeat=3,
    )  # fmt: skip
    taken = take(store, "cpu", lease="abc", pid=7, process_started=1.5)
    assert taken is not None
    assert taken.started_at is not None
    expected = replace(
        waiting, status=RUNNING, lease="abc", heartbeat=4, worker="w", host="machine", pid=7,
        process_started=1.5, phase="starting", started_at=taken.started_at, reason="It died.",
    )  # fmt: skip
    assert taken == expected
    assert store.get(waiting.id) == expected


def test_an_experiment_that_is_taken_again_keeps_its_first_start(store: Store) -> None:
    one = enqueue(store, started_at=minutes(-5))
    taken = take(store)
    assert taken is not None
    assert (taken.id, taken.started_at) == (one.id, minutes(-5))


def test_nothing_is_taken_from_empty_other_or_no_queues(store: Store) -> None:
    assert take(store) is None
    one = enqueue(store, queue="gpu")
    store.create(experiment("local"))
    assert take(store, "cpu") is None
    assert store.queue.take([], lease="l", worker="w", host="h", phase="p") is None
    assert store.queue.takeable([]) == 0
    assert store.queue.takeable(["cpu"]) == 0
    assert store.queue.takeable(BOTH) == 1
    assert store.get(one.id) == one


def test_a_worker_of_several_queues_takes_the_one_that_came_first(store: Store) -> None:
    names = [enqueue(store, queue=queue).id for queue in ("gpu", "cpu", "gpu")]
    taken = [take(store) for _ in names]
    assert [one.id for one in taken if one] == names


def test_a_paused_queue_gives_nothing_until_it_goes_on(store: Store) -> None:
    waiting, other = enqueue(store), enqueue(store, queue="gpu")
    store.queue.pause("cpu", "Ada")
    store.queue.pause("cpu", "Grace")
    assert store.queue.takeable(BOTH) == 1
    taken = take(store)
    assert taken is not None
    assert taken.id == other.id
    assert take(store) is None
    assert store.queue.positions() == {waiting.id: 1}
    store.queue.continue_("cpu")
    store.queue.continue_("gpu")
    assert store.queue.takeable(BOTH) == 1
    taken = take(store)
    assert taken is not None
    assert taken.id == waiting.id


def test_queues_say_who_paused_them_and_how_many_wait_and_run(store: Store) -> None:
    nothing: dict[str, Any] = {"paused": False, "paused_by": "", "waiting": 0, "running": 0}
    assert store.queue.states() == [Queue(name=name, **nothing) for name in ("cpu", "gpu")]
    for _ in range(3):
        enqueue(store)
    enqueue(store, queue="gpu")
    take(store, "cpu")
    store.create(experiment("local", status=RUNNING))
    store.create(experiment("ended", status=FAILED, queue="cpu"))
    store.queue.pause("gpu", "Ada")
    assert store.queue.states() == [
        Queue(name="cpu", paused=False, paused_by="", waiting=2, running=1),
        Queue(name="gpu", paused=True, paused_by="Ada", waiting=1, running=0),
    ]
    with pytest.raises(NotFoundError, match="did you mean cpu"):
        store.queue.pause("cpus", "")
    with pytest.raises(NotFoundError, match="did you mean cpu"):
        store.queue.continue_("cpus")


@pytest.mark.parametrize("end", [SUCCEEDED, FAILED, CANCELLED])
def test_what_runs_after_another_waits_until_that_has_ended_however(
    store: Store, end: ExperimentStatus
) -> None:
    first = enqueue(store, "first")
    second = enqueue(store, "second", runs_after=first.id, priority=10)
    assert store.queue.takeable(BOTH) == 1
    taken = take(store)
    assert taken is not None
    assert taken.id == first.id
    assert take(store) is None
    store.change_status(first.id, end, {RUNNING})
    taken = take(store)
    assert taken is not None
    assert taken.id == second.id


def test_what_runs_after_one_that_was_deleted_does_not_wait_for_ever(store: Store) -> None:
    one = enqueue(store, runs_after="0" * 12)
    assert store.queue.takeable(BOTH) == 1
    taken = take(store)
    assert taken is not None
    assert taken.id == one.id


# -- workers ----------------------------------------------------------------------------------


def worker(name: str, **fields: Any) -> Worker:
    values: dict[str, Any] = {
        "host": "machine", "pid": 7, "devices": ("cuda:0", "cuda:1"), "queues": BOTH, "slots": 2,
        "version": "0.1.0", "started_at": NOON, "seen_at": NOON,
    }  # fmt: skip
    return Worker(name=name, **{**values, **fields})


def test_a_worker_comes_out_as_it_was_registered_the_last_time(store: Store) -> None:
    second, first = worker("second", devices=()), worker("first")
    for one in (second, worker("first", pid=6), first):
        store.queue.register(one)
    assert store.queue.workers() == [first, second]


def test_a_sign_of_life_counts_and_a_forgotten_worker_is_told(store: Store) -> None:
    store.queue.register(worker("one"))
    store.queue.register(worker("two"))
    assert store.queue.beat("one", {"cpu_percent": 12.5, "devices": []})
    assert store.queue.beat("one")
    one, two = store.queue.workers()
    assert (one.heartbeat, two.heartbeat) == (2, 0)
    assert (one.usage, two.usage) == ({"cpu_percent": 12.5, "devices": []}, {})
    assert one.seen_at > NOON
    store.queue.forget("one")
    store.queue.forget("one")
    assert not store.queue.beat("one")
    assert store.queue.workers() == [two]
