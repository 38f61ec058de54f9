"""What is said of a trained adapter: predictions and score of each side, and all as metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.messages import say
from tunesmith.models.adapter import adapted_layers, count_parameters, with_weights
from tunesmith.statistics.forgetting import cautions
from tunesmith.tasks.results import Prediction, Score, same_answer
from tunesmith.training.evidence.calibration import calibrate, calibration_of
from tunesmith.training.evidence.evaluation import interval, surest_answers, worst_mistakes
from tunesmith.training.evidence.forgetting import forgetting
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.evidence.selection import choose, selective_of
from tunesmith.training.reporting.reporter import Phase
from tunesmith.training.stages import Fitted, Judged


def judged_by_both(
    work: Fitted, model: Any, judge: Judge, stopping: Judge, untrained: Mapping[str, Any]
) -> Judged:
    """What the test side says of `model`, and of it with its `untrained` weights.

    The rows that stopped and picked are asked once more, of the weights that are kept.
    """
    reporter = work.reporter
    validation, validation_score = list[Prediction](), None
    if work.data.validation:
        reporter.phase(Phase.EVALUATING, say("the rows that validate"))
        validation = stopping.predictions(model)
        validation_score = work.task.score(validation)
        _report_score(work, stopping, validation_score)
    temperature, validation = calibrate(work.task, validation)
    threshold = choose(work, validation)
    reporter.phase(Phase.EVALUATING, say("the held-out rows"))
    predictions = judge.predictions(model)
    if groups := work.data.groups:
        predictions = [replace(p, group=g) for p, g in zip(predictions, groups, strict=True)]
    score = work.task.score(predictions)
    _report_score(work, judge, score)
    reporter.phase(Phase.EVALUATING, say("the untrained model, for comparison"))
    with with_weights(model, untrained):
        of_untrained, before = _untrained(work, model, judge)
    return Judged.after(
        work,
        predictions=predictions,
        score=score,
        validation=validation,
        validation_score=validation_score,
        untrained=of_untrained,
        answers_changed=_changed(predictions, before),
        temperature=temperature,
        forgetting=forgetting(work, model, judge, untrained),
        threshold=threshold,
    )


def _report_score(work: Fitted, judge: Judge, score: Score) -> None:
    """Tell of a side's metrics at the step whose weights are kept."""
    kept, progress = work.ending.kept, work.progress
    values = {f"{judge.prefix}_{name}": value for name, value in score.metrics.items()}
    work.reporter.metrics(kept, progress.epoch * kept / max(progress.steps, 1), values)


def _untrained(work: Fitted, model: Any, judge: Judge) -> tuple[Score, list[Prediction]]:
    """Score and answers of `model` as it began.

    By name where the base model's own head has our labels.
    """
    file = work.source.folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    own = work.task.with_labels_of(settings.get("id2label") or {})
    predictions = judge.predictions(model, task=own)
    return (own or work.task).score(predictions), predictions


def _changed(after: Sequence[Prediction], before: Sequence[Prediction]) -> float | None:
    """The share of answers that training changed; None where answers are numbers."""
    pairs = [(one.predicted, other.predicted) for one, other in zip(after, before, strict=True)]
    if not pairs or any(isinstance(one, float) for one, _ in pairs):
        return None
    return sum(not same_answer(one, other) for one, other in pairs) / len(pairs)


def _without_effect(work: Judged) -> list[str]:
    """What is said where training has changed no answer."""
    if work.answers_changed != 0:
        return []
    return [
        say(
            "The adapter has no effect: each of the {n:,} held-out answers is the same as the "
            "untrained model's. Train longer, or with a higher training.learning_rate.",
            n=len(work.predictions),
        )
    ]


def metrics_of(work: Judged, model: Any) -> dict[str, Any]:
    """The results as `metrics.json` holds them; durations in seconds."""
    progress, score, predictions = work.progress, work.score, work.predictions
    trainable, total = count_parameters(model)
    forgotten = {} if work.forgetting is None else {"forgetting": work.forgetting}
    return {
        "train_runtime": progress.seconds,
        "train_loss": progress.mean_loss,
        "train_steps": progress.steps,
        "train_epochs": progress.epoch,
        "ending": work.ending.to_json(),
        "rows_at_once": progress.rows_at_once or work.config.training.per_device_train_batch_size,
        "train_samples": len(work.train_rows),
        "train_examples": len(work.train_examples),
        "train_examples_seen": min(progress.samples, len(work.train_examples)),
        "train_samples_per_second": (
            progress.samples * work.rows_per_example / max(progress.seconds, 1e-9)
        ),
        "train_tokens_per_second": progress.tokens / max(progress.seconds, 1e-9),
        "resources": {
            **progress.usage.to_metrics(),
            "seconds_to_first_step": progress.first_step,
        },
        **{f"eval_{name}": value for name, value in score.metrics.items()},
        "eval_samples": len(predictions),
        "answers_changed": work.answers_changed,
        **_of_validation(work),
        **calibration_of(work.task, work.temperature, predictions),
        **selective_of(work.task, work.threshold, predictions),
        "score": {
            "metric": score.main,
            "value": score.metrics[score.main],
            **interval(predictions, work.task),
            "baseline": work.task.baseline(work.train_rows, work.data.evaluation),
            "untrained": dict(work.untrained.metrics),
        },
        **forgotten,
        "cautions": [
            *work.task.cautions(score),
            *_flattered(work),
            *_without_effect(work),
            *cautions(forgotten),
        ],
        **dict(score.details),
        "worst_mistakes": worst_mistakes(predictions),
        "surest_answers": surest_answers(predictions),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "target_modules": adapted_layers(model),
        "dataset": dict(work.data.dataset),
    }


def _of_validation(work: Judged) -> dict[str, Any]:
    """The metrics of the rows that stopped and picked, under names of their own."""
    metrics = work.validation_score.metrics if work.validation_score else {}
    values = {f"validation_{name}": value for name, value in metrics.items()}
    found: dict[str, Any] = {**values, "validation_samples": len(work.validation)}
    if score := work.validation_score:
        found["validation"] = {
            "metric": score.main,
            "value": score.metrics[score.main],
            **interval(work.validation, work.task),
        }
    return found


def _flattered(work: Judged) -> list[str]:
    """What is said where the rows that judge have picked, too, for want of others."""
    if work.data.validation or work.ending.metric is None:
        return []
    return [
        say(
            "The {n:,} rows that judge have also chosen when training stopped, or which checkpoint "
            "is kept: the score flatters the adapter. There were too few rows for a side of their "
            "own (data.validation_samples).",
            n=len(work.predictions),
        )
    ]
