"""How often the intervals of scores hold the truth, by simulation through the product's own code.

Run with `python -m benchmarks.coverage`; two minutes on one core. Each case draws judging rows from
a population whose true score is known, asks `evidence.evaluation.interval` (and, of two
experiments, what `statistics.comparison` asks) for the 95 % interval, and counts how often it holds
the truth. `--write` puts the figures into `benchmarks/figures/coverage.json` and the table into
`docs/statistics.md`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.statistics.intervals import Groups, ratio_difference, share_difference
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task
from tunesmith.tasks.results import Prediction
from tunesmith.training.evidence.evaluation import interval

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE = ROOT / "benchmarks" / "figures" / "coverage.json", ROOT / "docs" / "statistics.md"
MARKS = "<!-- coverage: made by python -m benchmarks.coverage --write -->", "<!-- end -->"
GROUPS = "<!-- groups: made by python -m benchmarks.coverage --write -->"
ROWS = (5, 10, 20, 50, 200)
AUTHORS = (10, 30, 100)
ALIKE = {"alone": math.inf, "somewhat alike": 9.0, "much alike": 1.5}
"""How much the rows of an author go together: correlations of 0, 0.1 and 0.4."""
LARGE = 200_000
"""Rows from which the truth is computed."""

Floats = npt.NDArray[np.float64]
Drawn = tuple[Floats, Floats]
"""Points and weights of rows, as `Prediction` has them; weights of shares are all 1."""


@dataclass(frozen=True)
class Case:
    """A population of rows: how one is drawn, and what it is called."""

    metric: str
    name: str
    draw: Callable[[np.random.Generator, int], Drawn]
    task: str

    def truth(self) -> float:
        """The score of the whole population."""
        points, weights = self.draw(np.random.default_rng(10_000), LARGE)
        return float(points.sum() / weights.sum())


def share(accuracy: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Rows that are right so often: accuracy, exact match, all labels of a row, pairs preferred."""
    return lambda random, rows: ((random.random(rows) < accuracy).astype(float), np.ones(rows))


def entities(found: float, number: float, alike: float) -> Callable[..., Drawn]:
    """Texts with some `number` of entities, those of one text found more `alike` the lower that is.

    `alike` is the sum of the Beta distribution's parameters from which each text has its share.
    """

    def draw(random: np.random.Generator, rows: int) -> Drawn:
        expected = random.poisson(number, rows)
        hits = random.binomial(expected, random.beta(alike * found, alike * (1 - found), rows))
        invented = random.binomial(expected - hits, 0.6)
        invented += random.binomial(1, (1 - found) * 0.3, rows)
        return hits.astype(np.float64) * 2, (expected + hits + invented).astype(np.float64)

    return draw


EXPLAINED = 0.8
"""Share of the variance; the interval's coverage doesn't depend on it."""


def numbers(kind: str, errors: str) -> Callable[..., Drawn]:
    """Numbers of one `kind`, told with `errors` of one kind."""

    def draw(random: np.random.Generator, rows: int) -> Drawn:
        if kind == "normal":
            targets = random.normal(size=rows)
        elif kind == "stars":
            targets = random.choice([1.0, 2, 3, 4, 5], rows, p=[0.1, 0.1, 0.2, 0.3, 0.3]) / 1.269
        else:
            targets = random.exponential(size=rows)
        wrong = random.normal(size=rows)
        if errors == "heavy-tailed":
            wrong = random.standard_t(4, rows) / np.sqrt(2)
        spread = (targets - targets.mean()) ** 2
        if errors == "growing":
            wrong *= np.sqrt(spread)
        return spread - wrong**2 * (1 - EXPLAINED), spread

    return draw


TEXTS = 20
"""Rows of a group, on average; one has from 1 to twice as many less one."""


def by_author(right: float, alike: float) -> Callable[..., tuple[Floats, Groups]]:
    """Rows of authors whose own shares of right rows are the more `alike` the lower that is."""

    def draw(random: np.random.Generator, authors: int) -> tuple[Floats, Groups]:
        shares = np.full(authors, right)
        if alike < math.inf:
            shares = random.beta(alike * right, alike * (1 - right), authors)
        groups = np.repeat(np.arange(authors), random.integers(1, 2 * TEXTS, authors))
        return (random.random(len(groups)) < shares[groups]).astype(float), groups

    return draw


def grouped(right: float, alike: float, authors: int, draws: int) -> dict[str, float]:
    """How often the interval holds `right`, and that which takes every row by itself."""
    random, task = np.random.default_rng(authors), _task("text-classification")
    held = by_rows = 0
    for _ in range(draws):
        points, groups = by_author(right, alike)(random, authors)
        rows = predictions(points, np.ones(len(points)), is_share=True)
        named = [replace(row, group=str(group)) for row, group in zip(rows, groups, strict=True)]
        found, alone = interval(named, task)["interval"], interval(rows, task)["interval"]
        held += found["low"] <= right <= found["high"]
        by_rows += alone["low"] <= right <= alone["high"]
    return {"coverage": round(held / draws, 4), "by_rows": round(by_rows / draws, 4)}


def cases() -> Iterator[Case]:
    """Every metric that has an interval, over populations of several kinds."""
    for accuracy in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99):
        yield Case("share", f"{accuracy:.0%} right", share(accuracy), "text-classification")
    for found in (0.5, 0.8, 0.95, 0.99):
        for name, number, alike in (("few", 0.7, 50.0), ("some", 2.0, 2.0), ("many", 9.0, 4.0)):
            label = f"{found:.0%} found, {name} a text"
            yield Case("f1", label, entities(found, number, alike), "token-classification")
    for kind in ("normal", "stars", "skewed"):
        for errors in ("normal", "growing", "heavy-tailed"):
            label = f"{kind} numbers, {errors} errors"
            yield Case("r2", label, numbers(kind, errors), "regression")


def _task(name: str) -> Task:
    return TASKS[name](TASKS[name].Options())


def predictions(points: Floats, weights: Floats, *, is_share: bool) -> list[Prediction]:
    """Rows as a task predicts them."""
    return [
        Prediction(
            n, "", None, None, correct=point >= weight,
            points=None if is_share else point, weight=weight,
        )
        for n, (point, weight) in enumerate(zip(points.tolist(), weights.tolist(), strict=True))
    ]  # fmt: skip


def coverage(case: Case, rows: int, draws: int, truth: float) -> dict[str, float]:
    """Share of `draws` whose interval holds `truth`, of those with one, and its median width."""
    random, task = np.random.default_rng(rows), _task(case.task)
    held, widths, refused = 0, [], 0
    for _ in range(draws):
        drawn = predictions(*case.draw(random, rows), is_share=case.metric == "share")
        found = interval(drawn, task)["interval"]
        if found is None:
            refused += 1
            continue
        held += found["low"] - 1e-12 <= truth <= found["high"] + 1e-12
        widths.append(found["high"] - found["low"])
    made = max(draws - refused, 1)
    return {
        "coverage": round(held / made, 4),
        "width": round(float(np.median(widths)), 4) if widths else 0.0,
        "refused": round(refused / draws, 4),
    }


def paired(kind: str, rows: int, draws: int) -> dict[str, float]:
    """The same of the difference of two experiments, whose answers go together."""
    random, held, made = np.random.default_rng(rows), 0, 0
    first, second = (0.8, 0.9) if kind == "r2" else (0.7, 0.8)

    def draw(rows: int) -> tuple[Floats, Floats]:
        if kind == "r2":
            targets = random.normal(size=rows)
            spread = (targets - targets.mean()) ** 2
            one = random.normal(size=rows)
            other = 0.8 * one + 0.6 * random.normal(size=rows)
            return (
                np.stack([spread - one**2 * (1 - first), spread], axis=1),
                np.stack([spread - other**2 * (1 - second), spread], axis=1),
            )
        expected = np.ones(rows, int) if kind == "share" else 1 + random.poisson(1.0, rows)
        hits = random.binomial(expected, first)
        better = hits + random.binomial(expected - hits, (second - first) / (1 - first))
        return tuple(  # type: ignore[return-value]
            np.stack([2.0 * found, 2.0 * expected], axis=1) for found in (hits, better)
        )

    truth = second - first
    for _ in range(draws):
        one, other = draw(rows)
        if kind == "share":
            won = int((other[:, 0] > one[:, 0]).sum())
            found = share_difference(int((one[:, 0] > other[:, 0]).sum()), won, rows)
        else:
            maybe = ratio_difference(one, other, bounded=kind == "f1")
            if maybe is None:
                continue
            found = maybe
        made += 1
        held += found.low - 1e-12 <= truth <= found.high + 1e-12
    return {"coverage": round(held / max(made, 1), 4), "refused": round(1 - made / draws, 4)}


def measured(draws: int, rows: tuple[int, ...] = ROWS) -> dict[str, Any]:
    """The coverage of every case at every number of rows, and of differences."""
    report: dict[str, Any] = {"draws": draws, "scores": [], "differences": [], "groups": []}
    for case in cases():
        truth = case.truth()
        found = {str(n): coverage(case, n, draws, truth) for n in rows}
        report["scores"].append(
            {"metric": case.metric, "case": case.name, "truth": round(truth, 4), "rows": found}
        )
    for kind in ("share", "f1", "r2"):
        found = {str(n): paired(kind, n, draws) for n in rows}
        report["differences"].append({"metric": kind, "rows": found})
    for right, (name, alike) in product((0.6, 0.8, 0.9, 0.97), ALIKE.items()):
        of = {str(n): grouped(right, alike, n, draws // 4) for n in AUTHORS}
        report["groups"].append({"case": f"{right:.0%} right, {name}", "authors": of})
    return report


def table_of_groups(report: dict[str, Any]) -> str:
    """The figures of grouped rows as Markdown."""
    counts = list(report["groups"][0]["authors"])
    lines = [
        f"| rows of an author | {' | '.join(f'{n} authors' for n in counts)} |",
        "|---|" + "---|" * len(counts),
    ]
    for each in report["groups"]:
        found = [each["authors"][n] for n in counts]
        cells = (f"{one['coverage']:.1%} ({one['by_rows']:.0%})" for one in found)
        lines.append(f"| {each['case']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    counts = list(report["scores"][0]["rows"])
    lines = [
        f"| metric | population | {' | '.join(f'{n} rows' for n in counts)} |",
        "|---|---|" + "---|" * len(counts),
    ]
    names = {"share": "share of right rows", "f1": "entity F1", "r2": "R²"}
    for each in report["scores"]:
        cells = " | ".join(f"{each['rows'][n]['coverage']:.1%}" for n in counts)
        lines.append(f"| {names[each['metric']]} | {each['case']} | {cells} |")
    for each in report["differences"]:
        cells = " | ".join(f"{each['rows'][n]['coverage']:.1%}" for n in counts)
        lines.append(f"| {names[each['metric']]} | difference of two experiments | {cells} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="write the figures and the page")
    arguments = parser.parse_args()
    report = measured(arguments.draws)
    print(table(report), table_of_groups(report), sep="\n\n")
    if arguments.write:
        FIGURES.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        for mark, text in ((MARKS[0], table(report)), (GROUPS, table_of_groups(report))):
            before, rest = page.split(mark)
            after = rest.split(MARKS[1], 1)[1]
            page = f"{before}{mark}\n\n{text}\n\n{MARKS[1]}{after}"
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
