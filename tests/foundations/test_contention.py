"""Threads that wait give their cores away while others want them, and only then."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest
from tests.foundations.test_threads import run

from tunesmith import contention

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libgomp is Linux' OpenMP")

TURNS = """
import ctypes, os, threading
from tunesmith import contention

def runtime(thread):
    attributes = contention._Attributes()
    get = contention._SCHED_CALLS[os.uname().machine][0]
    size = ctypes.sizeof(attributes)
    assert ctypes.CDLL(None).syscall(get, thread, ctypes.byref(attributes), size, 0) == 0
    return attributes.runtime, attributes.nice

os.nice(3)
contention.take_short_turns()
later = []
thread = threading.Thread(target=lambda: later.append(runtime(threading.get_native_id())))
thread.start()
thread.join()
print(*runtime(0), *later[0], os.nice(0))
"""

SPINNING = """
import time
from tunesmith import contention
import torch
torch.set_num_threads(2)
numbers = torch.ones(200_000)

def burnt():
    began = time.process_time()
    for _ in range(100):
        numbers.sum()
        time.sleep(0.001)
    return time.process_time() - began

burnt()
alone = burnt()
crowd = contention.Crowd()
crowded = burnt()
crowd.dissolve()
print(alone, crowded, burnt())
"""


def test_threads_that_wait_sleep_within_a_crowd_and_spin_without_it() -> None:
    """By processor time: beside one that computes, a waiting thread burns as much as it sleeps."""
    alone, crowded, again = map(float, run(SPINNING).stdout.split())
    assert crowded < 0.6 * min(alone, again), (alone, crowded, again)


def test_other_programs_on_the_cores_are_noticed_and_so_is_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert contention.waits()
    share, made = [0.0], []

    class Crowd:
        def __init__(self) -> None:
            made.append("held")

        def dissolve(self) -> None:
            made.append("dissolved")

    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] > 30:
            raise SystemExit
        share[0] = 0.5 if 10 < clock[0] < 12 else 0.001

    waited = [0.0]

    def waits() -> dict[str, int]:
        waited[0] += share[0] * contention.LOOK_EVERY * 1e9
        return {"1": int(waited[0]), str(clock[0]): 0}  # threads come and go

    monkeypatch.setattr(contention, "Crowd", Crowd)
    monkeypatch.setattr(contention, "waits", waits)
    monkeypatch.setattr("tunesmith.contention.time.sleep", sleep)
    monkeypatch.setattr("tunesmith.contention.time.monotonic", lambda: clock[0])
    with pytest.raises(SystemExit):
        contention._watch()
    assert made == ["held", "dissolved"]


@pytest.mark.skipif(
    [int(part) for part in re.findall(r"\d+", platform.release())[:2]] < [6, 12],
    reason="Linux gives shorter turns from 6.12 on",
)
def test_threads_take_the_shortest_turns_and_those_they_start_too() -> None:
    turn, nice, later, its, own = run(TURNS).stdout.split()
    assert turn == later == str(contention.SHORTEST_TURN)
    assert nice == its == own


def test_what_the_user_decided_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr(contention, "_watcher", None)
    contention.watch()
    assert contention._watcher is None


def test_where_the_system_does_not_say_how_long_threads_wait_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(contention, "_TASKS", tmp_path)
    assert contention.waits() is None
    monkeypatch.setattr(contention, "_TASKS", tmp_path / "nowhere")
    assert contention.waits() is None
