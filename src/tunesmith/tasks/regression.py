"""Regression: a number for a text or a pair of texts, such as a rating or a similarity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import DataError
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.tasks.base import Batch, Batches, Example, Row
from tunesmith.tasks.options import TaskOptions, column
from tunesmith.tasks.parts.label_texts import is_missing
from tunesmith.tasks.parts.texts import TEXT_NAMES, TextTask
from tunesmith.tasks.results import Answer, Metric, Prediction, Score
from tunesmith.tasks.tokens.places import ModelPlace

if TYPE_CHECKING:
    import torch


class RegressionOptions(TaskOptions):
    """Options of `task: regression`."""

    name: Literal["regression"] = "regression"
    text_column: str | None = column("Column with the text; null finds it by its name.")
    text_pair_column: str | None = column(
        "Column with the second text, for pairs such as two sentences."
    )
    target_column: str | None = column("Column with the number; null finds it by its name.")


class Regression(TextTask):
    """Learn a number for a text.

    The model learns standard scores, (number - mean) / deviation of the training rows, so that the
    loss and the learning rate don't depend on the unit; answers are in the data's own unit.
    """

    name = "regression"
    label = "numbers for texts"
    summary = say("Learn a number for a text, such as a rating, or how alike two texts are.")
    Options = RegressionOptions
    peft_task_type = "SEQ_CLS"
    auto_class = "AutoModelForSequenceClassification"
    pipeline_tag = "text-classification"  # the hub has no own tag for numbers
    metrics = (
        Metric("r2", "R²"),
        Metric("rmse", "root mean squared error", lower_is_better=True),
        Metric("mae", "mean absolute error", lower_is_better=True),
        Metric("mse", "mean squared error", lower_is_better=True),
        Metric("pearson", "Pearson's correlation"),
        Metric("spearman", "Spearman's correlation"),
        Metric("loss", "loss", lower_is_better=True),
    )
    main_metric = "r2"
    best_metric = "r2"
    fault_rules = ("missing_labels", "unknown_labels")
    answer_looks = "number"

    column_names = MappingProxyType({
        "text": TEXT_NAMES,
        "target": ("target", "score", "rating", "value", "label", "labels", "similarity", "mean",
                   "stars", "grade", "price", "number", "分數", "分数", "評分", "评分", "得分",
                   "星等", "星級", "星级", "相似度", "價格", "价格", "數值", "数值", "目標",
                   "目标"),
    })  # fmt: skip
    examples = (
        {"text": "Clean rooms and a friendly host.", "score": 4.5},
        {"text": "Loud, and the shower was cold.", "score": 1.5},
    )

    options: RegressionOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.mean, self.deviation = 0.0, 1.0
        """Of the training rows' numbers."""
        self.center = 0.0
        """Mean of the evaluation rows' numbers, which R² measures against."""

    # -- the data ---------------------------------------------------------------------------

    def answer_columns(self) -> list[str]:
        return [self.columns["target"]]

    def faults(self, row: Row) -> Iterable[tuple[str, str]]:
        value = row[self.columns["target"]]
        if is_missing(value):
            return [("missing_labels", say("give the row a number"))]
        if as_number(value) is None:
            shown = repr(str(value)[:80])
            advice = say("{value} is no number: write one, as in 3.5", value=shown)
            return [("unknown_labels", advice)]
        return ()

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        targets, column = self._targets(train), self.columns["target"]
        if not targets:
            raise DataError("column {column} holds no number at all.", column=repr(column))
        self.mean = math.fsum(targets) / len(targets)
        squares = math.fsum((target - self.mean) ** 2 for target in targets)
        self.deviation = math.sqrt(squares / len(targets))
        if min(targets) == max(targets):
            raise DataError(
                "column {column} holds a single number, {value:g}: there is nothing to learn. "
                "Give data with different numbers, or name another column in "
                "task.target_column.",
                column=repr(column),
                value=targets[0],
            )
        judged = self._targets(evaluation) or targets
        self.center = math.fsum(judged) / len(judged)

    def facts(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "center": self.center}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.mean, self.deviation = float(facts["mean"]), float(facts["deviation"])
        self.center = float(facts["center"])

    def _targets(self, rows: Sequence[Row]) -> list[float]:
        """The rows' numbers. Raises DataError naming the first row without one."""
        found = []
        for row in rows:
            number = as_number(row[self.columns["target"]])
            if number is None:
                raise DataError(
                    "row {n}, column {column}: {value} is no number.",
                    n=row.get("_row", "?"),
                    column=repr(self.columns["target"]),
                    value=repr(str(row[self.columns["target"]])[:80]),
                )
            found.append(number)
        return found

    def batch_stratum(self, row: Row) -> str:
        """How far the target is from the mean, in halves of a deviation, two deviations at most."""
        (target,) = self._targets([row])
        return str(max(-4, min(4, round(2 * (target - self.mean) / self.deviation))))

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        return {**super().model_arguments(), "num_labels": 1, "problem_type": "regression"}

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        examples = self.inputs(rows, tokenizer, max_length)
        for target, example in zip(self._targets(rows), examples, strict=True):
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
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            scores = self._scores(self.logits(model, batch)).tolist()
            targets = self._targets(rows)
            for row, score, target in zip(rows, scores, targets, strict=True):
                number = self._number(score)
                error, spread = (number - target) ** 2, (target - self.center) ** 2
                yield Prediction(
                    row=int(row.get("_row", 0)),
                    text=self.key(row),
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
            **_correlations(expected, predicted),
            "loss": math.fsum(p.loss or 0.0 for p in predictions) / rows,
        }
        return Score(metrics=metrics, main=self.main_metric)

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        learned, judged = self._targets(train), self._targets(evaluation)
        mean = math.fsum(learned) / len(learned)
        center = math.fsum(judged) / max(len(judged), 1)
        spread = math.fsum((target - center) ** 2 for target in judged)
        error = math.fsum((target - mean) ** 2 for target in judged)
        return {
            "name": say("always {value:.4g}, the mean of the training rows", value=mean),
            "metric": self.main_metric,
            "value": 1 - error / spread if spread else 0.0,
        }

    # -- answers to something new ------------------------------------------------------------

    def answers(
        self, model: Any, examples: Sequence[Example], tokenizer: Any, max_new_tokens: int | None
    ) -> list[Answer]:
        logits = self.asked_logits(model, examples, tokenizer)
        return [Answer(self._number(score)) for score in self._scores(logits).tolist()]

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Regression | None:
        if fresh:
            return None
        own = self.fresh()
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


def _correlations(first: Sequence[float], second: Sequence[float]) -> dict[str, float]:
    """Pearson's and Spearman's; 0 where one side is all the same, of which nothing can be said."""
    if len({*first}) < 2 or len({*second}) < 2:
        return {"pearson": 0.0, "spearman": 0.0}
    stats = load("scipy.stats")  # here, as it takes a while
    return {
        "pearson": float(stats.pearsonr(first, second).statistic),
        "spearman": float(stats.spearmanr(first, second).statistic),
    }
