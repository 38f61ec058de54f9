"""Memory for the tokens of answers: who may hold it, and how much is free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tests.serving.test_serve import wait_for

from tunesmith.serving.turns import Room
from tunesmith.training.preflight import free_bytes


def test_memory_for_tokens_is_given_in_the_order_of_asking_and_one_always_may() -> None:
    room, order = Room(lambda: 100), []

    def hold(name: str, size: int, gone: threading.Event) -> None:
        with room.held(size, gone.is_set):
            order.append(name)

    nobody, left = threading.Event(), threading.Event()
    with ThreadPoolExecutor(4) as pool:
        with room.held(1_000, nobody.is_set):  # one may, whatever it needs
            big = pool.submit(hold, "big", 500, nobody)
            wait_for(lambda: len(room._waiting) == 1)
            gone = pool.submit(hold, "gone", 1, left)
            small = pool.submit(hold, "small", 1, nobody)
            wait_for(lambda: len(room._waiting) == 3)
            left.set()
            gone.result(60)
            assert order == ["gone"]
        big.result(60)
        small.result(60)
    assert order == ["gone", "big", "small"]
    with ThreadPoolExecutor(1) as pool:
        with room.held(30, nobody.is_set), room.held(30, nobody.is_set):
            more = pool.submit(hold, "more", 30, nobody)
            wait_for(lambda: len(room._waiting) == 1)
            assert "more" not in order, "answers hold half of what they leave together, here 80"
        more.result(60)


@pytest.mark.parametrize("what", ["memory", "wish"])
def test_who_waits_behind_one_that_fails_is_let_in(what: str) -> None:
    fails = threading.Semaphore(0)

    def failing() -> Any:
        if fails.acquire(blocking=False):
            raise RuntimeError("CUDA error: unspecified launch failure")
        return 100 if what == "memory" else False

    room = Room(failing if what == "memory" else lambda: 100)
    unwanted = failing if what == "wish" else lambda: False

    def hold(unwanted: Callable[[], bool]) -> bool:
        with room.held(60, unwanted):
            return True

    with ThreadPoolExecutor(2) as pool:
        with room.held(60, lambda: False):
            first = pool.submit(hold, unwanted)
            wait_for(lambda: len(room._waiting) == 1)
            second = pool.submit(hold, lambda: False)
            wait_for(lambda: len(room._waiting) == 2)
            fails.release()
            with pytest.raises(RuntimeError, match="CUDA"):
                first.result(60)
        assert second.result(60)
    assert not room._waiting
    assert room._held == 0


def test_memory_that_pytorch_keeps_for_tensors_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"mem_get_info": (10, 100), "memory_reserved": 80, "memory_allocated": 30}
    for name, value in given.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_bytes("cuda:1") == 60
