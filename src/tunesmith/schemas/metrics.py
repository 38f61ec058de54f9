"""What an experiment's metrics say, those that early versions recorded too."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tunesmith.messages import say

TIME_SHARE = "time_share_"
"""How the names of shares of the time begin; the part of the training follows."""

MOST_CONFUSED = 100
"""Pairs of expected and predicted label that are kept: the most frequent mistakes."""


class Resource(StrEnum):
    """A metric of what a training costs: speed, where the time goes, what the machine gives.

    Each point is of the steps since the one before. All other metrics tell what was learned, and
    are the same for the same seed; these never are.
    """

    SAMPLES_PER_SECOND = "train_samples_per_second"
    """Rows, evaluations and checkpoints in between included in the time."""
    TOKENS_PER_SECOND = "train_tokens_per_second"
    """The same in tokens, padding left out."""
    CPU_PERCENT = "cpu_percent"
    """Processor time in per cent of one core: 200 are two cores."""
    MEMORY_MB = "memory_mb"
    """Resident memory, in 10^6 bytes."""
    GPU_UTILIZATION = "gpu_utilization"
    """Per cent of the time in which the GPU computed anything, for whomever."""
    GPU_MEMORY_MB = "gpu_memory_mb"
    """Memory that the training holds on its GPU, in 10^6 bytes."""
    TIME_SHARE_DATA = "time_share_data"
    """Share of the time, 0 to 1, as those below: batches made, and brought to the device."""
    TIME_SHARE_FORWARD = "time_share_forward"
    """The model's answers, and the loss."""
    TIME_SHARE_BACKWARD = "time_share_backward"
    """Gradients; with several processes also their sum over all of them."""
    TIME_SHARE_OPTIMIZER = "time_share_optimizer"
    """Gradients clipped, weights changed."""
    TIME_SHARE_OTHER = "time_share_other"
    """Evaluations, checkpoints, reports."""


RESOURCES = frozenset(str(resource) for resource in Resource)
"""Their names."""


def trained_on(metrics: Mapping[str, Any]) -> tuple[int, int, int]:
    """The rows, the examples that were made of them, and how many of these were trained on.

    One row gives several examples where a chat format rewrites earlier turns. Fewer were trained
    on than there are where training ended before all were. Early versions counted rows alone.
    """
    rows = metrics["train_samples"]
    examples = metrics.get("train_examples", rows)
    seen = metrics.get("train_examples_seen", metrics.get("train_samples_seen", examples))
    return rows, examples, min(seen, examples)


def data_seen(metrics: Mapping[str, Any]) -> str:
    """What was trained on, such as `4,000 rows`, `8 of 4,000 rows` or `2 rows (5 examples)`."""
    rows, examples, seen = trained_on(metrics)
    if examples == rows:
        return (
            say("{rows:,} rows", rows=rows)
            if seen >= rows
            else say("{n:,} of {total:,} rows", n=seen, total=rows)
        )
    if seen >= examples:
        return say("{rows:,} rows ({examples:,} examples)", rows=rows, examples=examples)
    return say(
        "{seen:,} of {examples:,} examples, of {rows:,} rows",
        seen=seen,
        examples=examples,
        rows=rows,
    )


def most_confused(cells: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """The most frequent mistakes in `cells` (expected, predicted → rows), and those `left_out`."""
    mistakes = sorted((-rows, pair) for pair, rows in cells.items() if rows and pair[0] != pair[1])
    return {
        "pairs": [
            {"expected": expected, "predicted": predicted, "rows": -rows}
            for rows, (expected, predicted) in mistakes[:MOST_CONFUSED]
        ],
        "left_out": max(len(mistakes) - MOST_CONFUSED, 0),
    }


def confusions_of(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The most frequent mistakes in recorded `metrics`: `pairs`, and how many are `left_out`.

    Early versions recorded the matrix alone. Without either there are none.
    """
    if "confusions" in metrics:
        found: Mapping[str, Any] = metrics["confusions"]
        return found
    matrix = metrics.get("confusion_matrix") or {}
    labels = [str(label) for label in matrix.get("labels", ())]
    counts = matrix.get("rows_expected_columns_predicted", ())
    return most_confused(
        {
            (expected, predicted): rows
            for expected, line in zip(labels, counts, strict=False)
            for predicted, rows in zip(labels, line, strict=True)
        }
    )


def calibration_said(metrics: Mapping[str, Any]) -> str | None:
    """How far the probabilities of answers can be taken at their word; None where nothing says."""
    found = metrics.get("calibration")
    if not found:
        return None
    after, before = found["after"], found["before"]
    error = say(
        "expected calibration error {ece:.3f} on {rows:,} test rows (95 % interval {low:.3f} to "
        "{high:.3f}), Brier score {brier:.3f}",
        ece=after["ece"],
        rows=found["test_rows"],
        low=after["interval"]["low"],
        high=after["interval"]["high"],
        brier=after["brier"],
    )
    if found["reason"] is not None:
        return say(
            "Probabilities have no temperature: {reason}; {error}.",
            reason=found["reason"],
            error=error,
        )
    return say(
        "Probabilities are calibrated by the temperature {temperature:.2f} of {n:,} validation "
        "rows: {error}; without it {ece:.3f} and {brier:.3f}.",
        temperature=found["temperature"],
        n=found["rows"],
        error=error,
        ece=before["ece"],
        brier=before["brier"],
    )


GENERAL = ("text", "chat", "questions")
"""The parts of what a model could do before it was trained: what it is asked beside its task."""


def forgetting_of(metrics: Mapping[str, Any]) -> list[str]:
    """What `metrics` say of each part of what the model could do before, in a sentence.

    Of tasks that write no text, and of early versions, they say nothing.
    """
    found = metrics.get("forgetting") or {}
    return [_kept(part, found[part]) for part in GENERAL if part in found]


def _kept(part: str, found: Mapping[str, Any]) -> str:
    every = {**(found.get("interval") or {}), **found}
    names = ("before", "after", "difference", "rows", "low", "high", "level")
    values = {name: every.get(name) for name in names}
    if None in values.values():
        return say("general texts: the model's answers are no numbers any more")
    values["level"] = f"{values['level']:.0%}"
    if part == "questions":
        return say(
            "general questions: {before:.1%} right before and {after:.1%} after "
            "({difference:+.1%}, {level} interval {low:+.1%} to {high:+.1%}, {rows:,} questions)",
            **values,
        )
    if part == "chat":
        return say(
            "general chats: a loss of {before:.3f} nats per token before and {after:.3f} after "
            "({difference:+.3f}, {level} interval {low:+.3f} to {high:+.3f}, {rows:,} answers)",
            **values,
        )
    return say(
        "general text: a loss of {before:.3f} nats per token before and {after:.3f} after "
        "({difference:+.3f}, {level} interval {low:+.3f} to {high:+.3f}, {rows:,} passages)",
        **values,
    )


def selective_said(metrics: Mapping[str, Any]) -> str | None:
    """What an adapter that may be unsure answers, and how often rightly; None for all others."""
    found = metrics.get("selective")
    if not found:
        return None
    if found["threshold"] is None:
        return say("It gives no answers by itself: {reason}.", reason=found["reason"])
    coverage, right = found["coverage"], found["selective_accuracy"]
    return say(
        "It answers from a confidence of {threshold:.1%} on, so that at least {accuracy:.0%} of "
        "its answers are right (certain to {certainty:.0%}): {coverage:.1%} of the test rows "
        "({low:.1%} to {high:.1%}), of which {right:.1%} are right ({low2:.1%} to {high2:.1%}).",
        threshold=found["threshold"],
        accuracy=found["accuracy"],
        certainty=found["certainty"],
        coverage=coverage["value"],
        low=coverage["low"],
        high=coverage["high"],
        right=right["value"],
        low2=right["low"],
        high2=right["high"],
    )
