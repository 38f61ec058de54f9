"""What choosing does to a score: checkpoints and sweeps of adapters that have learned nothing.

Run with `python -m benchmarks.choosing`; three minutes on one core. Answers are coins; what picks,
draws intervals and compares is the product's own code. Each case is counted twice: with rows of
their own that pick, and with the rows that judge, as 0.1 did. `--write` puts the table into
`docs/statistics.md`.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.coverage import predictions
from transformers.trainer_callback import EarlyStoppingCallback, TrainerControl, TrainerState

from tunesmith.experiments.sweeps.report import best_trial
from tunesmith.schemas.enums import ExperimentStatus, TrialState, Verdict
from tunesmith.schemas.sweeps import SweepTrial
from tunesmith.statistics.answers import JudgedRows
from tunesmith.statistics.comparison import compare
from tunesmith.store.entities.experiments import Experiment
from tunesmith.tasks import TASKS
from tunesmith.training.evidence.evaluation import interval

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
MARK, END = "<!-- choosing: made by python -m benchmarks.choosing --write -->", "<!-- end -->"

EVALUATIONS, PATIENCE = 20, 5
TRIALS = 50
Right = npt.NDArray[np.bool_]
"""Whether answers are right, shape (times asked, rows)."""


def kept(scores: npt.NDArray[np.float64]) -> int:
    """Which evaluation's checkpoint early stopping leaves, by transformers' own callback."""
    callback, state, control = EarlyStoppingCallback(PATIENCE), TrainerState(), TrainerControl()
    arguments: Any = SimpleNamespace(metric_for_best_model="accuracy", greater_is_better=True)
    best = 0
    for number, score in enumerate(scores.tolist()):
        metrics = {"eval_accuracy": score}
        callback.on_evaluate(arguments, state, control, metrics=metrics)
        if state.best_metric is None or score > state.best_metric:
            state.best_metric, best = score, number
        if control.should_training_stop:
            break
    return best


def checkpoints(rows: int, validate: int, rounds: int) -> dict[str, float]:
    """How often the interval of the checkpoint that was kept holds 0.5, which is the truth."""
    random, task = np.random.default_rng(rows), TASKS["text-classification"]
    judged_by = task(task.Options())
    held = {"apart": 0, "same": 0}
    for _ in range(rounds):
        test, validation = (random.random((EVALUATIONS, n)) < 0.5 for n in (rows, validate))
        for name, side in (("apart", validation), ("same", test)):
            right = test[kept(side.mean(axis=1))].astype(float)
            answers = predictions(right, np.ones(rows), is_share=True)
            found = interval(answers, judged_by)["interval"]
            held[name] += found["low"] <= 0.5 <= found["high"]
    return {name: count / rounds for name, count in held.items()}


def sweeps(rows: int, validate: int, rounds: int) -> dict[str, float]:
    """How often the best of equal trials is called better than the first of them."""
    random = np.random.default_rng(rows)
    called = {"apart": 0, "same": 0, "as_one_look": 0}
    for _ in range(rounds):
        test, validation = (equal(random, n) for n in (rows, validate))
        # Trials that are picked by rows of their own are one look at the test side.
        for name, side, looks in (
            ("apart", validation, 1), ("same", test, TRIALS), ("as_one_look", test, 1)
        ):  # fmt: skip
            best = best_trial([_trial(n, right) for n, right in enumerate(side)], 1.0)[0] or 0
            called[name] += bool(best) and is_better(test[0], test[best], looks)
    return {name: count / rounds for name, count in called.items()}


def equal(random: np.random.Generator, rows: int) -> Right:
    """Answers of equally good trials: easy rows are easy for all of them."""
    easy = random.beta(2.0, 0.7, rows)
    return random.random((TRIALS, rows)) < easy


def is_better(first: Right, second: Right, looks: int) -> bool:
    """Whether the comparison calls the second better."""
    pair = [_experiment(each) for each in (first, second)]
    answers = {
        one.id: JudgedRows(np.arange(len(right)), np.zeros(len(right), np.uint64), right)
        for one, right in zip(pair, (first, second), strict=True)
    }
    return compare(pair, answers, {}, looks=looks).pairs[0].verdict is Verdict.BETTER


def _experiment(right: Right) -> Experiment:
    sides = {"evaluation": {"rows": len(right), "hash": "sha256:e"}}
    return Experiment(
        name="trial", task="text-classification", model_name="m", dataset_name="d", config={},
        status=ExperimentStatus.SUCCEEDED, data={"splits": sides}, score_name="accuracy",
        score=float(right.mean()),
    )  # fmt: skip


def _trial(number: int, right: Right) -> SweepTrial:
    return SweepTrial(
        number=number, state=TrialState.SUCCEEDED, is_baseline=not number, parameters={},
        value=float(right.mean()), low=None, high=None, method=None, spread=None, epoch=None,
        progress=1.0, runtime=0.0, reason=None, experiments=[],
        finished_at=datetime.fromtimestamp(number, UTC),
    )  # fmt: skip


def table(rounds: int) -> str:
    """The figures as Markdown."""
    lines = [
        "| | rows that judge | rows that pick | rows of their own pick | rows that judge pick |",
        "|---|---|---|---|---|",
    ]
    for rows, validate in ((60, 60), (200, 100), (1000, 500)):
        found = checkpoints(rows, validate, rounds)
        lines.append(
            f"| the best of {EVALUATIONS} checkpoints, coin flips: its interval holds 0.5 "
            f"| {rows:,} | {validate} | {found['apart']:.1%} | {found['same']:.1%} |"
        )
    for rows, validate in ((60, 60), (200, 100), (1000, 500)):
        found = sweeps(rows, validate, rounds)
        lines.append(
            f"| the best of {TRIALS} equal trials is called better than the first "
            f"| {rows:,} | {validate} | {found['apart']:.1%} | {found['same']:.1%}, every look "
            f"allowed for ({found['as_one_look']:.1%} if not) |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--write", action="store_true", help="write the page")
    arguments = parser.parse_args()
    found = table(arguments.rounds)
    print(found)
    if arguments.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARK)
        after = rest.split(END, 1)[1]
        PAGE.write_text(f"{before}{MARK}\n\n{found}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
