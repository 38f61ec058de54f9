"""Regression: a number for a text or a pair of texts, such as a rating or a similarity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.tasks.base import (
    Answer,
    Batch,
    Columns,
    Example,
    Prediction,
    Row,
    Score,
    TaskOptions,
)
from tunesmith.tasks.columns import Wanted
from tunesmith.tasks.places import ModelPlace
from tunesmith.tasks.texts import TextTask
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch


class RegressionOptions(TaskOptions):
    """Options of `task: regression`."""

    name: Literal["regression"] = "regression"
    text_column: str | None = Field(
        None, description="Column with the text; null finds it by its name."
    )
    text_pair_column: str | None = Field(
        None, description="Column with the second text, for pairs such as two sentences."
    )
    target_column: str | None = Field(
        None, description="Column with the number; null finds it by its name."
    )


class Regression(TextTask):
    """Learn a number for a text.

    The model learns standard scores, (number - mean) / deviation of the training rows, so that the
    loss and the learning rate don't depend on the unit; answers are in the data's own unit.
    """

    name = "regression"
    summary = "Learn a number for a text, such as a rating, or how alike two texts are."
    Options = RegressionOptions
    peft_task_type = "SEQ_CLS"
    auto_class = "AutoModelForSequenceClassification"
    main_metric = "r2"
    main_is_bounded = False
    best_metric = "r2"
    lower_is_better = frozenset({"loss", "mse", "rmse", "mae"})
    quick_metrics = ("r2", "rmse", "mae", "mse", "pearson", "spearman", "loss")
    fault_rules = ("missing_labels", "unknown_labels")

    options: RegressionOptions
    answer_wanted = Wanted(
        "target", "target_column", ("target", "score", "rating", "value", "label", "labels",
                                    "similarity", "mean", "stars", "grade", "price", "number"),
    )  # fmt: skip

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.mean, self.deviation = 0.0, 1.0
        """Of the training rows' numbers."""
        self.center = 0.0
        """Mean of the evaluation rows' numbers, which R² measures against."""

    # -- the data ---------------------------------------------------------------------------

    def answer_columns(self, columns: Columns) -> list[str]:
        return [columns["target"]]

    def faults(self, row: Row, columns: Columns) -> Iterable[tuple[str, str]]:
        value = row[columns["target"]]
        if not canonical(value).strip():
            return [("missing_labels", "give the row a number")]
        if as_number(value) is None:
            return [("unknown_labels", f"{str(value)[:80]!r} is no number: write one, as in 3.5")]
        return ()

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        targets = self._targets(train, columns)
        if not targets:
            raise DataError(f"column {columns['target']!r} holds no number at all.")
        self.mean = math.fsum(targets) / len(targets)
        squares = math.fsum((target - self.mean) ** 2 for target in targets)
        self.deviation = math.sqrt(squares / len(targets))
        if min(targets) == max(targets):
            raise DataError(
                f"column {columns['target']!r} holds a single number, {targets[0]:g}: there is "
                "nothing to learn. Give data with different numbers, or name another column in "
                "task.target_column."
            )
        judged = self._targets(evaluation, columns) or targets
        self.center = math.fsum(judged) / len(judged)

    def facts(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "center": self.center}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.mean, self.deviation = float(facts["mean"]), float(facts["deviation"])
        self.center = float(facts["center"])

    def _targets(self, rows: Sequence[Row], columns: Columns) -> list[float]:
        """The rows' numbers. Raises DataError naming the first row without one."""
        found = []
        for row in rows:
            number = as_number(row[columns["target"]])
            if number is None:
                raise DataError(
                    f"row {row.get('_row', '?')}, column {columns['target']!r}: "
                    f"{str(row[columns['target']])[:80]!r} is no number."
                )
            found.append(number)
        return found

    def batch_stratum(self, row: Row, columns: Columns) -> str:
        """How far the target is from the mean, in halves of a deviation, two deviations at most."""
        (target,) = self._targets([row], columns)
        return str(max(-4, min(4, round(2 * (target - self.mean) / self.deviation))))

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        return {**super().model_arguments(), "num_labels": 1, "problem_type": "regression"}

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        examples = self.inputs(rows, columns, tokenizer, max_length)
        for target, example in zip(self._targets(rows, columns), examples, strict=True):
            example["targets"] = 1
            example["labels"] = (target - self.mean) / self.deviation
        return examples

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        scores = self._scores(self.logits(model, batch))
        items = self.count_items(batch) if num_items is None else num_items
        return (scores - batch["labels"]).square().sum() / items

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """The standard score of each row: shape (rows,)."""
        return logits[:, 0]

    # -- the score --------------------------------------------------------------------------

    def predict(
        self,
        model: Any,
        batches: Iterable[tuple[Sequence[Row], Batch]],
        columns: Columns,
        tokenizer: Any,
        *,
        generate: bool = True,
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            scores = self._scores(self.logits(model, batch)).tolist()
            targets = self._targets(rows, columns)
            for row, score, target in zip(rows, scores, targets, strict=True):
                number = self._number(score)
                error, spread = (number - target) ** 2, (target - self.center) ** 2
                yield Prediction(
                    row=int(row.get("_row", 0)),
                    text=self.key(row, columns),
                    expected=target,
                    predicted=number,
                    correct=error < spread,  # nearer than the mean is
                    loss=error / self.deviation**2,
                    tokens_correct=int(error < spread),
                    scores=(score,),
                    points=spread - error,
                    weight=spread,
                )

    def _number(self, score: float) -> float:
        """A standard score in the data's own unit."""
        return self.mean + self.deviation * score

    def score(self, predictions: Sequence[Prediction]) -> Score:
        """R² is 1 - sum of squared errors / sum of squared distances from the evaluation mean."""
        rows = max(len(predictions), 1)
        errors = [p.predicted - p.expected for p in predictions]
        mse = math.fsum(error**2 for error in errors) / rows
        expected = [p.expected for p in predictions]
        predicted = [p.predicted for p in predictions]
        spread = math.fsum(p.weight for p in predictions)
        metrics = {
            "r2": math.fsum(p.earned for p in predictions) / spread if spread else 0.0,
            "rmse": math.sqrt(mse),
            "mae": math.fsum(map(abs, errors)) / rows,
            "mse": mse,
            "pearson": pearson(expected, predicted),
            "spearman": pearson(ranks(expected), ranks(predicted)),
            "loss": math.fsum(p.loss or 0.0 for p in predictions) / rows,
        }
        return Score(metrics=metrics, main=self.main_metric)

    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        learned, judged = self._targets(train, columns), self._targets(evaluation, columns)
        mean = math.fsum(learned) / len(learned)
        center = math.fsum(judged) / max(len(judged), 1)
        spread = math.fsum((target - center) ** 2 for target in judged)
        error = math.fsum((target - mean) ** 2 for target in judged)
        return {
            "name": f"always {mean:.4g}, the mean of the training rows",
            "metric": self.main_metric,
            "value": 1 - error / spread if spread else 0.0,
        }

    # -- answers to something new ------------------------------------------------------------

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        scores = self._scores(self.asked_logits(model, examples, tokenizer)).tolist()
        return [
            Answer(self._number(score), cut=example["cut"])
            for score, example in zip(scores, examples, strict=True)
        ]

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Regression | None:
        if fresh:
            return None
        own = Regression(self.options)
        own.restore({**self.facts(), "mean": 0.0, "deviation": 1.0})  # it has a unit of its own
        return own

    def usage(self, place: ModelPlace) -> str:
        loading = place.loading("AutoModelForSequenceClassification", arguments=", num_labels=1")
        return f"""import torch
{place.imports("AutoModelForSequenceClassification", "AutoTokenizer")}

tokenizer = AutoTokenizer.from_pretrained({place.folder})
{loading}
with torch.inference_mode():
    score = model.eval()(**tokenizer("A text of your own", return_tensors="pt")).logits.item()
print({self._meant("score")})  # mean and deviation of what it learned from"""

    def usage_of_logits(self) -> str:
        return f"print({self._meant('logits[0, 0]')})  # mean and deviation of what it learned from"

    def _meant(self, score: str) -> str:
        """An expression of what `score`, the model's own number, stands for."""
        return f"{self.mean!r} + {self.deviation!r} * {score}"


def as_number(value: Any) -> float | None:
    """The finite number that `value` is or spells; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def pearson(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one side is all the same, of which nothing can be said."""
    rows = max(len(first), 1)
    means = math.fsum(first) / rows, math.fsum(second) / rows
    one, other = [a - means[0] for a in first], [b - means[1] for b in second]
    norms = math.sqrt(math.fsum(a * a for a in one)), math.sqrt(math.fsum(b * b for b in other))
    if not all(norms):
        return 0.0
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / norms[0] / norms[1]


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1, equal ones all the mean of theirs: for Spearman's rho."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found, start = [0.0] * len(values), 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + 1 + end) / 2
        start = end
    return found
