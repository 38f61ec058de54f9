"""How often the share of wrong labels lies in its stated interval, and what none looks like.

Run with `python -m benchmarks.label_errors`; half an hour on one core, `--rounds` says how exactly.
Labels are flipped on purpose in three sets whose classifiers differ: logits that are right but for
their temperature (two and five labels), and logistic regressions trained on the flipped labels,
each row by those that did not see it. Prints a table of how often the realised share lay in the
interval, how often none stood out, and the precision of the list beside its estimate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from scipy.special import softmax

from tunesmith.statistics.intervals import Floats
from tunesmith.statistics.label_noise import Integers, Noise, estimate_noise

RATES = (0.0, 0.02, 0.05, 0.1)
Kind = Literal["at random", "by class"]
KINDS: tuple[Kind, ...] = ("at random", "by class")
TRAINED = "trained on the flips, 4 labels"
SETS = {"2 labels, too sure": 2, "5 labels, too sure": 5, TRAINED: 4}
FOLDS = 5


@dataclass(frozen=True)
class Round:
    """One draw: which labels are wrong, and what was said of them."""

    wrong: np.ndarray
    noise: Noise

    @property
    def is_held(self) -> bool:
        return self.noise.low <= float(self.wrong.mean()) <= self.noise.high


def draw(name: str, kind: Kind, rate: float, rows: int, seed: int) -> Round:
    """One round of the set `name` with a `rate` of its labels flipped."""
    rng, labels = np.random.default_rng(seed), SETS[name]
    if name == TRAINED:
        texts = rng.normal(size=(rows, 20))
        right = texts @ rng.normal(size=(20, labels)) * 1.2
        right += 1.4 * np.tanh(texts[:, :labels] * texts[:, labels : 2 * labels])
    else:
        right = rng.normal(size=(rows, labels)) * 3
    truth = (softmax(right, axis=1).cumsum(axis=1) > rng.random(rows)[:, None]).argmax(axis=1)
    given = flipped(truth, labels, kind, rate, rng)
    logits = _left_out(texts, given, labels, rng) if name == TRAINED else right * 2
    noise = estimate_noise(logits, given)
    assert noise is not None
    return Round(given != truth, noise)


def flipped(
    truth: Integers, labels: int, kind: Kind, rate: float, rng: np.random.Generator
) -> Integers:
    """`truth` with a `rate` of wrong labels: any for any, or mostly the first for the second."""
    if kind == "at random":
        wrong = rng.random(len(truth)) < rate
        return np.where(wrong, (truth + rng.integers(1, labels, len(truth))) % labels, truth)
    share = float((truth == 0).mean())
    first = 0.8 * rate / share
    other = (rate - first * share) / (1 - share)
    wrong = rng.random(len(truth)) < np.where(truth == 0, first, other)
    return np.where(wrong, (truth + 1) % labels, truth)


def _left_out(texts: Floats, given: Integers, labels: int, rng: np.random.Generator) -> Floats:
    """Logits of each row by a regression on the other folds, by gradient descent."""
    logits = np.zeros((len(texts), labels))
    fold = rng.integers(0, FOLDS, len(texts))
    for number in range(FOLDS):
        seen, weights = texts[fold != number], np.zeros((texts.shape[1], labels))
        wanted = np.eye(labels)[given[fold != number]]
        for _ in range(100):
            weights -= seen.T @ (softmax(seen @ weights, axis=1) - wanted) / len(seen)
        logits[fold == number] = texts[fold == number] @ weights
    return logits


def measured(rounds: int, rows: int) -> Iterator[str]:
    """The table's lines."""
    yield "| set | flips | share | in the interval | none stands out | width | list: said | true |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, kind, rate in product(SETS, KINDS, RATES):
        found = [draw(name, kind, rate, rows, seed) for seed in range(rounds)]
        listed = [np.flatnonzero(each.noise.chances > 0.5) for each in found]
        some = [(each, rows) for each, rows in zip(found, listed, strict=True) if len(rows)]
        said = np.mean([each.noise.chances[rows].mean() for each, rows in some] or [np.nan])
        true = np.mean([each.wrong[rows].mean() for each, rows in some] or [np.nan])
        held, none, width = np.mean(
            [
                (each.is_held, not each.noise.stands_out, each.noise.high - each.noise.low)
                for each in found
            ],
            axis=0,
        )
        yield (
            f"| {name} | {kind} | {rate:.0%} | {held:.1%} | {none:.1%} | {width:.3f} "
            f"| {said:.0%} | {true:.0%} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1000)
    arguments = parser.parse_args()
    for line in measured(arguments.rounds, arguments.rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
