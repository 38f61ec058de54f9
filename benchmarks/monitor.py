"""What the performance monitor costs: the starter's model trained with and without it, in turns.

Run with `make bench`, or alone with `python benchmarks/monitor.py`; some minutes on two cores. One
process trains all, pair after pair, each pair in the other order than the one before, so that a
machine that grows slower or is used by others weighs on both sides. A figure is the mean over the
pairs of how much more the training with the monitor took, in per cent, with its 95 % interval
(Student's t); time of the processor is steadier than that of the clock. Measured is the training
alone, not loading, evaluating and verifying around it. The texts are words at random: what is
learned from them doesn't matter here.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

import tunesmith
from tunesmith.settings import Settings
from tunesmith.training import fitting
from tunesmith.training.reporting.callbacks import Report
from tunesmith.training.stages import Placed
from tunesmith.training.trainer import LoraTrainer

MOST_PERCENT = 1.0
"""What the monitor may cost of the processor's time, as logging is by default."""
CASES: dict[str, dict[str, Any]] = {
    "a loss every 10 steps, as by default, of 8 rows": {
        "training.per_device_train_batch_size": 8,
        "data.train_samples": 400,
    },
    "a loss every step, of 2 rows": {
        "training.logging_steps": 1,
        "training.per_device_train_batch_size": 2,
        "data.train_samples": 100,
    },
}
ROWS = 440
WORDS = (
    "film",
    "plot",
    "actor",
    "scene",
    "good",
    "bad",
    "dull",
    "great",
    "the",
    "and",
    "not",
    "of",
)
WITH_MONITOR = fitting.monitored
Pair = tuple[tuple[float, float], tuple[float, float]]
"""Seconds of the clock and of the processor: without the monitor, and with it."""


def main() -> int:
    """Measure, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for name, changes in CASES.items():
        train(changes, watched=True)  # warms up
        pairs = []
        for number in range(arguments.pairs):
            order = (False, True) if number % 2 else (True, False)
            took = {watched: train(changes, watched=watched) for watched in order}
            pairs.append((took[False], took[True]))
        figures[name] = summary(pairs)
        show(name, figures[name])
    if arguments.output:
        machine = {
            "pairs": arguments.pairs,
            "cpus": os.cpu_count(),
            "system": platform.platform(),
        }
        text = json.dumps({**machine, "figures": figures}, indent=2)
        arguments.output.write_text(text + "\n", encoding="utf-8")
    cost = figures[next(iter(CASES))]["cpu_percent_more"]
    fits = cost["low"] <= MOST_PERCENT  # the interval says no more than that it may be so
    print("within the limit" if fits else f"more than {MOST_PERCENT} % of the processor's time")
    return 0 if fits else 1


def train(changes: dict[str, Any], *, watched: bool) -> tuple[float, float]:
    """Seconds of the clock and of the processor that one training took."""
    took: list[tuple[float, float]] = []

    @contextmanager
    def timed(work: Placed, trainer: LoraTrainer, report: Report) -> Iterator[None]:
        gc.collect()
        clock, processor = time.perf_counter(), time.process_time()
        with WITH_MONITOR(work, trainer, report) if watched else nullcontext():
            yield
        took.append((time.perf_counter() - clock, time.process_time() - processor))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.csv")
        settings = Settings(
            _env_file=None,
            TUNESMITH_RESULTS_DIR=folder,
            TUNESMITH_DATABASE_URL=f"sqlite:///{folder}/experiments.db",
        )
        fields = {
            "data.dataset_name": str(folder / "rows.csv"), "data.eval_samples": 20,
            "training.device": "cpu", "training.eval_strategy": "no",
            "training.save_strategy": "no", **changes,
        }  # fmt: skip
        fitting.monitored = timed
        try:
            tunesmith.train("config/default.yaml", settings=settings, **fields)
        finally:
            fitting.monitored = WITH_MONITOR
    return took[0]


def write_rows(path: Path) -> None:
    """Write the same texts of 5 to 40 words at every call."""
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "category"])
        for number in range(ROWS):
            text = " ".join(rng.choices(WORDS, k=rng.randint(5, 40)))
            writer.writerow([f"{text} {number}", ("rotten", "fresh")[number % 2]])


def summary(pairs: list[Pair]) -> dict[str, Any]:
    """How much more the second of each pair took than the first."""
    found: dict[str, Any] = {}
    for index, name in enumerate(("clock", "cpu")):
        without = np.array([pair[0][index] for pair in pairs])
        with_it = np.array([pair[1][index] for pair in pairs])
        more = 100 * (with_it / without - 1)
        half = t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more))
        found[f"{name}_seconds"] = round(float(np.median(without)), 2)
        found[f"{name}_percent_more"] = {
            "mean": round(float(more.mean()), 2),
            "low": round(float(more.mean() - half), 2),
            "high": round(float(more.mean() + half), 2),
        }
    return found


def show(name: str, figures: dict[str, Any]) -> None:
    """Print the figures of one case."""
    print(name)
    for kind, words in (("clock", "time"), ("cpu", "time of the processor")):
        more = figures[f"{kind}_percent_more"]
        print(
            f"  {words:<22} {figures[f'{kind}_seconds']:6.2f} s without it, with it "
            f"{more['mean']:+.2f} % ({more['low']:+.2f} to {more['high']:+.2f})"
        )


if __name__ == "__main__":
    sys.exit(main())
