"""Whether what makes training fast changes what is learned: the plan against `reference`, by seeds.

Run with `python -m benchmarks.quality`; half an hour on two cores, most of it the reference plan's.
Both recipes of the starter are trained whole with each seed, once with the plan that Tunesmith
chooses and once with `training.plan: reference`, plain float32. Told are the score on the held-out
rows and the loss of the last 40 steps (the mean of their logs), with their means over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {"classification": "default.yaml", "sft": "smollm2-sft.yaml"}
PLANS = ("auto", "reference")
LAST_LOGS = 4
"""Logs of ten steps each."""


def main() -> int:
    """Train, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--case", choices=list(RECIPES), action="append")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    for case in arguments.case or RECIPES:
        seeds = range(1, arguments.seeds + 1)
        report[case] = {}
        for plan in PLANS:
            runs = [train(RECIPES[case], plan, seed) for seed in seeds]
            report[case][plan] = {"mean": means(runs), "seeds": runs}
        print_table(case, report[case])
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def train(recipe: str, plan: str, seed: int) -> dict[str, float]:
    """One whole training in a process of its own: its score and its last losses."""
    print(f"{recipe}, seed {seed}, plan {plan}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "tunesmith.cli", "train",
            "--config", str(ROOT / "config" / recipe),
            f"training.seed={seed}", f"training.plan={plan}", "training.eval_strategy=no",
        ]  # fmt: skip
        variables = {**os.environ, "TUNESMITH_RESULTS_DIR": folder}
        subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
        (experiment,) = Path(folder).glob("*/metrics.json")
        metrics = json.loads(experiment.read_text(encoding="utf-8"))
        history = experiment.with_name("history.jsonl").read_text(encoding="utf-8").splitlines()
    points = map(json.loads, history)
    losses = [point["value"] for point in points if point["name"] == "loss"]
    return {
        "score": metrics["score"]["value"],
        "last_loss": statistics.fmean(losses[-LAST_LOGS:]),
        "eval_loss": metrics["eval_loss"],
    }


def means(runs: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure."""
    return {name: round(statistics.fmean(run[name] for run in runs), 4) for name in runs[0]}


def print_table(case: str, figures: dict[str, Any]) -> None:
    """Both plans, every seed's score, and what differs."""
    print(f"\n{case}")
    for plan, found in figures.items():
        scores = " ".join(f"{run['score']:.4f}" for run in found["seeds"])
        mean = found["mean"]
        print(
            f"{plan:10} score {mean['score']:.4f} ({scores})  last loss {mean['last_loss']:.4f}"
            f"  held-out loss {mean['eval_loss']:.4f}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
