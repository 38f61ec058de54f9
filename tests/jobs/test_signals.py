"""How a process learns that it should stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tunesmith.jobs import signals
from tunesmith.jobs.signals import StopSignals

FIRST, SECOND = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture
def at_once() -> list[int]:
    return []


@pytest.fixture
def stop(at_once: list[int]) -> Iterator[StopSignals]:
    before = signal.getsignal(FIRST)
    with StopSignals((FIRST, SECOND), at_once.append) as stop:
        yield stop
    assert signal.getsignal(FIRST) == before


def test_nothing_asked(stop: StopSignals, at_once: list[int]) -> None:
    assert not stop.wait(0.01)
    assert at_once == []


def test_the_first_signal_is_waited_for_and_stays_asked(
    stop: StopSignals, at_once: list[int]
) -> None:
    signal.raise_signal(FIRST)
    assert stop.wait()
    assert stop.wait()
    assert at_once == []


def test_another_signal_is_at_once_however_soon(stop: StopSignals, at_once: list[int]) -> None:
    signal.raise_signal(FIRST)
    signal.raise_signal(SECOND)
    assert at_once == [SECOND]
    assert stop.wait()


def test_a_signal_within_the_first_ones_handler_is_the_second(
    stop: StopSignals, at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic
    interrupted = False

    def interrupt() -> float:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            signal.raise_signal(SECOND)
        return clock()

    monkeypatch.setattr("tunesmith.jobs.signals.time.monotonic", interrupt)
    signal.raise_signal(FIRST)
    assert len(at_once) == 1
    assert stop.wait()


def test_one_wish_sent_twice_is_one(
    stop: StopSignals, at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.raise_signal(FIRST)
    signal.raise_signal(FIRST)
    assert at_once == []
    monkeypatch.setattr(signals, "SAME_WISH", 0.0)
    signal.raise_signal(FIRST)
    assert at_once == [FIRST]


def test_another_thread_asks(stop: StopSignals, at_once: list[int]) -> None:
    threading.Timer(0.01, stop.ask).start()
    assert stop.wait(60)
    assert at_once == []


def test_a_hangup_that_nohup_lets_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals((signal.SIGHUP, FIRST), lambda number: None) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.wait(0.01)
            signal.raise_signal(FIRST)
            assert stop.wait(5)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_another_thread_caught_is_heard(
    stop: StopSignals, at_once: list[int]
) -> None:
    """The system gives it to any thread when the main thread has yet to hear of one."""
    rest = threading.Event()
    other = threading.Thread(target=rest.wait, daemon=True)
    other.start()
    caught = [
        threading.Timer(0.1 + delay, signal.pthread_kill, (other.ident, number))
        for delay, number in ((0.0, FIRST), (1.0, SECOND))
    ]
    for timer in caught:
        timer.start()
    begun = time.monotonic()
    assert stop.wait(20)
    stop.join([other], timeout=3)
    assert at_once == [SECOND]
    assert time.monotonic() - begun < 15
    rest.set()
    stop.join([other], timeout=20)
    assert not other.is_alive()
