"""What comes of a task: predictions, answers, a score, and the metrics that it consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

OF_SIDES = ("validation_", "eval_")
"""What names of metrics begin with: of the side that stops and picks, of the one that judges."""


def bare_metric(name: str) -> str:
    """A metric's own name, without its side's."""
    for side in OF_SIDES:
        if name.startswith(side):
            return name.removeprefix(side)
    return name


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are."""

    name: str
    """As in `metrics.json`, without `eval_`."""
    label: str
    """For people; the page translates it."""
    unit: str = ""
    """Empty: a share, or the unit of the data."""
    lower_is_better: bool = False
    is_share: bool = False
    """Whether it is from 0 to 1."""
    is_quick: bool = True
    """Whether evaluation during training gives it too, which doesn't generate answers."""


ACCURACY = Metric("accuracy", "accuracy", is_share=True)
LOSS = Metric("loss", "loss", "nats", lower_is_better=True)
TOKEN_ACCURACY = Metric("token_accuracy", "token accuracy", is_share=True)


class Judged:
    """What is judged by metrics: which those are."""

    metrics: ClassVar[tuple[Metric, ...]]
    """Every metric that `score` may give, `loss` among them."""
    main_metric: ClassVar[str]
    """The metric that says best how good it is, higher is better: the one with an interval.

    It is the sum of the predictions' `points` over that of their `weight`; by default, the share of
    rows that are correct.
    """
    best_metric: ClassVar[str] = "loss"
    """The metric that early stopping and the best checkpoint use by default."""

    @classmethod
    def prefers_lower(cls, metric: str) -> bool:
        """Whether a lower value of `metric` is better, also where its name begins with a side's."""
        known = cls.metric(metric)
        return known is not None and known.lower_is_better

    @classmethod
    def metric(cls, name: str) -> Metric | None:
        """The metric of this name, with a side's before it or not; None: the task has none."""
        bare = bare_metric(name)
        return next((metric for metric in cls.metrics if metric.name == bare), None)

    @classmethod
    def quick_metrics(cls) -> tuple[str, ...]:
        """The metrics that evaluation during training gives (`generate=False`)."""
        return tuple(metric.name for metric in cls.metrics if metric.is_quick)

    @classmethod
    def main_is_bounded(cls) -> bool:
        """Whether each row adds from nothing to its weight to the main metric, as to a share or F1.

        False for a share of explained variance, as R²: a row's weight is its squared distance from
        the mean of the rows judged, its points that less the squared error.
        """
        main = cls.metric(cls.main_metric)
        return main is None or main.is_share


@dataclass(frozen=True)
class Prediction:
    """What the model said of one evaluation row.

    `scores` are numbers the verification compares, such as logits; they are not probabilities.
    """

    row: int
    """1-based number of the row in its source."""
    text: str
    """What was asked, for people to read."""
    expected: Any
    predicted: Any
    """None where the answer was not generated."""
    correct: bool
    confidence: float | None = None
    """Probability the model gave its answer, 0 to 1."""
    loss: float | None = None
    """Loss of the expected answer in nats; for text, the mean over its tokens."""
    tokens: int = 1
    """Targets in the expected answer."""
    tokens_correct: int = 0
    """Targets that the model gave when shown the answer up to there."""
    scores: tuple[float, ...] = ()
    ended: bool | None = None
    """Whether a generated answer ended with its end token; None where none was generated."""
    points: float | None = None
    """What the row adds to the main metric's numerator; None: 1 where it is correct, else 0."""
    weight: float = 1.0
    """What the row adds to the main metric's denominator, 0 or more."""
    group: str = ""
    """The group of the row, by `data.group_column`; empty: it has none."""

    @property
    def earned(self) -> float:
        """`points` as a number."""
        return float(self.correct) if self.points is None else self.points


def same_answer(one: Any, other: Any) -> bool:
    """Whether two models, or one in two formats, say the same of a row.

    Numbers are never equal to the last digit: their `scores` say how far they lie apart.
    """
    return bool(one == other) or (isinstance(one, float) and isinstance(other, float))


def first_rows(numbers: Sequence[Any]) -> str:
    """The first of these numbers of rows, for a message."""
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "")


UNSURE = "unsure"
"""Why an answer is not given that is likely enough to be wrong."""


@dataclass(frozen=True)
class Answer:
    """What the model says to something new."""

    answer: Any
    """A label, a list of labels, a text, a number, or a list of entities; None: none is given."""
    probabilities: Mapping[str, float] | None = None
    """Label → probability, 0 to 1, for every label; None where the answer is no label."""
    cut: bool = False
    """Whether what was asked was too long, and the model saw only a part of it."""
    reason: str | None = None
    """UNSURE where the answer is not sure enough to be given."""


@dataclass(frozen=True)
class Unwritten:
    """What a model's chat template leaves out of a row."""

    advice: str
    partly: bool = False
    """Whether what is learned of the row is right without it."""


@dataclass(frozen=True)
class Score:
    """How good a set of predictions is."""

    metrics: Mapping[str, float]
    """Metric name (without `eval_`) → value."""
    main: str
    """The metric of `metrics` that says it best."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is not one number: confusions, per-class figures; bounded whatever the data."""
