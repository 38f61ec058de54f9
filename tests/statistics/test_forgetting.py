"""What a model forgot: paired differences, what is clearly worse, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.schemas.metrics import forgetting_of
from tunesmith.statistics.forgetting import General, cautions, compared, is_worse

BEFORE = General([3.0, 4.0, 2.0, 3.5], [1.0, 2.0], [True] * 20)


def after(text: float, wrong: int = 0) -> General:
    """As before, but each passage's loss that much higher (a bit more or less), some ends wrong."""
    losses = [loss + text + 0.01 * (-1) ** n for n, loss in enumerate(BEFORE.text)]
    return General(losses, BEFORE.chat, [n >= wrong for n in range(20)])


def test_the_interval_is_of_what_each_row_lost_however_different_the_rows_are() -> None:
    found = compared(BEFORE, after(0.5))
    assert found["text"]["before"] == pytest.approx(3.125)
    assert found["text"]["difference"] == pytest.approx(0.5)
    interval = found["text"]["interval"]
    assert 0.47 < interval["low"] < 0.5 < interval["high"] < 0.53
    assert (interval["method"], interval["rows"]) == ("Student", 4)


@pytest.mark.parametrize(
    ("now", "worse"),
    [(after(0.0), []), (after(0.05), []), (after(-1.0), []), (after(0.5), ["text"]),
     (after(0.0, 2), []), (after(0.0, 12), ["questions"])],
)  # fmt: skip
def test_only_what_is_surely_and_plainly_worse_is_a_caution(now: General, worse: list[str]) -> None:
    metrics = {"forgetting": compared(BEFORE, now)}
    assert [part for part, found in metrics["forgetting"].items() if is_worse(part, found)] == worse
    assert len(cautions(metrics)) == bool(worse)


def test_the_caution_says_what_got_worse_and_what_to_do() -> None:
    (said,) = cautions({"forgetting": compared(BEFORE, after(0.5))})
    assert "a loss of 3.125 nats per token before and 3.625 after (+0.500, 95% interval" in said
    assert "general rows" in said
    assert "chats" not in said


@pytest.mark.parametrize("metrics", [{}, {"forgetting": None}, {"forgetting": {}}])
def test_nothing_is_said_of_what_was_not_measured(metrics: dict[str, Any]) -> None:
    assert forgetting_of(metrics) == cautions(metrics) == []


def test_a_model_whose_answers_are_broken_is_no_number() -> None:
    found = compared(BEFORE, after(float("nan")))
    assert found["text"]["interval"] is None
    assert "no number" in forgetting_of({"forgetting": found})[0]


def test_parts_without_rows_are_left_out() -> None:
    nothing = General([], [1.0, 2.0], [])
    assert list(compared(nothing, nothing)) == ["chat"]
