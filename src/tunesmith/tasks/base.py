"""What can be learned: the interface that every task file fills in.

Rules, stated first:

- A task is one file in this folder. It is found by being there; nothing else lists tasks.
- It knows its options, how rows become tensors, the loss, the predictions and the metrics. It
  knows nothing of files, stores, queues or training loops.
- It is light to import: torch and transformers are imported inside the methods that compute.
- The same rows, options and model give the same tensors and numbers, always.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, field_validator

from tunesmith.errors import UserError
from tunesmith.tasks.control_tokens import ControlTokens
from tunesmith.tasks.framing import Framing
from tunesmith.tasks.places import ModelPlace

if TYPE_CHECKING:
    import torch

Row = Mapping[str, Any]
"""One row of the data: column name → value. `_row` is its 1-based number in the source."""

Example = dict[str, Any]
"""One encoded row: `input_ids` and whatever else the task's `collate` needs."""

Batch = dict[str, Any]
"""Tensors of one batch, first dimension the rows."""

Columns = Mapping[str, str]
"""Role → column name, as in `{"text": "review", "label": "category"}`."""


LONGEST_TEXT = 20_000
"""Characters of a text in a configuration, at most."""

MOST_ITEMS = 10_000
"""Items of a list or mapping in a configuration, at most."""

LARGEST = 2**53
"""Beyond it, not every whole number is a float's; JSON's readers lose digits there."""


class Fields(BaseModel):
    """Fields of a configuration: frozen, none unknown, numbers finite, nothing without a bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _within_bounds(cls, value: Any) -> Any:
        """Refuse what is larger than anything that makes sense, where the field has no bound."""
        parts = [value]
        while parts:
            part = parts.pop()
            if isinstance(part, str) and len(part) > LONGEST_TEXT:
                raise ValueError(f"must have at most {LONGEST_TEXT:,} characters")
            if isinstance(part, int | float) and abs(part) > LARGEST:
                raise ValueError(f"must be from -{LARGEST} to {LARGEST}")
            if isinstance(part, list | dict):
                if len(part) > MOST_ITEMS:
                    raise ValueError(f"must have at most {MOST_ITEMS:,} items")
                parts += part
                parts += part.values() if isinstance(part, dict) else ()
        return value


class TaskOptions(Fields):
    """The options of one task: the `task:` section of a configuration."""


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

    @property
    def earned(self) -> float:
        """`points` as a number."""
        return float(self.correct) if self.points is None else self.points


def same_answer(one: Any, other: Any) -> bool:
    """Whether two models, or one in two formats, say the same of a row.

    Numbers are never equal to the last digit: how far they lie apart is told by their `scores`.
    """
    return bool(one == other) or (isinstance(one, float) and isinstance(other, float))


@dataclass(frozen=True)
class Answer:
    """What the model says to something new."""

    answer: Any
    """A label, a list of labels, a text, a number, or a list of entities."""
    probabilities: Mapping[str, float] | None = None
    """Label → probability, 0 to 1, for every label; None where the answer is no label."""
    cut: bool = False
    """Whether what was asked was too long, and the model saw only a part of it."""


@dataclass(frozen=True)
class Score:
    """How good a set of predictions is."""

    metrics: Mapping[str, float]
    """Metric name (without `eval_`) → value."""
    main: str
    """The metric of `metrics` that says it best."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is not one number: confusions, per-class figures; bounded whatever the data."""


class Task(ABC):
    """One kind of learning, bound to the options that its user chose."""

    name: ClassVar[str]
    """Hugging Face's name of the task, as in `task: text-classification`."""
    summary: ClassVar[str]
    """One line for people who choose."""
    Options: ClassVar[type[TaskOptions]]
    peft_task_type: ClassVar[str]
    """PEFT's `TaskType`."""
    auto_class: ClassVar[str]
    """The transformers class that loads its base model."""
    main_metric: ClassVar[str]
    """The metric that says best how good it is, higher is better: the one with an interval.

    It is the sum of the predictions' `points` over the sum of their `weight`: of such a ratio, an
    interval and a test need nothing but what each row adds. By default that is the share of rows
    that are correct.
    """
    main_is_bounded: ClassVar[bool] = True
    """Whether each row adds from nothing to its weight to the main metric, as to a share or to F1.

    False for a share of explained variance, as R²: a row's weight is its squared distance from the
    mean of the rows judged, its points that less the squared error.
    """
    best_metric: ClassVar[str] = "loss"
    """The metric that early stopping and the best checkpoint use unless told otherwise."""
    lower_is_better: ClassVar[frozenset[str]] = frozenset({"loss"})
    """The metrics of which a lower value is better; `prefers_lower` is asked, not this."""
    quick_metrics: ClassVar[tuple[str, ...]] = ("loss",)
    """The metrics that evaluation during training gives (`generate=False`)."""
    judged_by_text: ClassVar[bool] = False
    """Whether a prediction is the text that the model writes, word by word."""
    is_default: ClassVar[bool] = False
    """Whether `lora.task_type` alone means this task."""
    telling_columns: ClassVar[frozenset[str]] = frozenset()
    """Column names, lower case, by which data for this task are known."""
    points_into_text: ClassVar[bool] = False
    """Whether answers are places in the text: then nothing in it is mended, which would move them,
    and it may also be a list of words."""
    fault_rules: ClassVar[tuple[str, ...]] = ()
    """The rules that `faults` may name, each a field of `data.validation_rules`."""
    token_rules: ClassVar[tuple[str, ...]] = ("cut_texts", "control_tokens")
    """The rules that need the model's tokenizer: first the one for rows over `data.max_length`."""
    eval_batch_scale: ClassVar[int] = 4
    """How many times the training batch an evaluation batch may be, where not configured."""

    texts_per_row: ClassVar[int] = 1
    """How many texts as long as `input_ids` the model reads for a row."""
    needs_reference: ClassVar[bool] = False
    """Whether what the base model says of a row (`reference`) is a part of its example."""

    def __init__(self, options: TaskOptions) -> None:
        self.options = options

    @classmethod
    def prefers_lower(cls, metric: str) -> bool:
        """Whether a lower value of `metric` is better, also where it is named with `eval_`.

        The one answer to which way is better: for checkpoints, early stopping, sweeps, promotion.
        """
        return metric.removeprefix("eval_") in cls.lower_is_better

    # -- the data ---------------------------------------------------------------------------

    @abstractmethod
    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        """Which column plays which role, what is learned last; what is left open is guessed.

        Guesses rest on names and on the values in `sample`. Raises ConfigError with one problem per
        option that names no column, each listing what there is.
        """

    @abstractmethod
    def text_columns(self, columns: Columns) -> list[str]:
        """The columns that the length, emptiness and HTML rules look at."""

    def answer_columns(self, columns: Columns) -> list[str]:
        """The columns with text that is learned instead of read; chats are text columns."""
        return []

    def chat_columns(self, columns: Columns) -> list[str]:
        """The columns that may hold conversations: lists of {role, content}."""
        return [columns["messages"]] if "messages" in columns else []

    def read_columns(self, columns: Columns) -> list[str]:
        """Every column that the task reads of a row, by name."""
        return sorted({*columns.values(), *self.text_columns(columns)})

    def faults(self, row: Row, columns: Columns) -> Iterable[tuple[str, str]]:
        """What is wrong with `row`, as (rule, advice); the rules are of `fault_rules`."""
        return ()

    def label_column(self, columns: Columns) -> str | None:
        """The column whose values are labels, one a row; None where the task has no such column."""
        return None

    def parse_label(self, value: Any) -> Any:
        """The label, or list of labels, that a value of the label column stands for."""
        return value

    def labels_wanted(self) -> Sequence[str] | None:
        """The labels that the options allow; None where any will do."""
        return None

    @abstractmethod
    def key(self, row: Row, columns: Columns) -> str:
        """The text by which two rows are the same: no key stands on both sides of a split."""

    def stratum(self, row: Row, columns: Columns) -> str:
        """The group whose share a split keeps equal on both sides; one group by default."""
        return ""

    def batch_stratum(self, row: Row, columns: Columns) -> str:
        """The group that has its share in every batch; known after `fit`."""
        return self.stratum(row, columns)

    @abstractmethod
    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        """Learn from the rows what the task must know before encoding, such as the set of labels.

        Raises DataError when the rows can't be learned from (a single label, say).
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What `fit` found, as JSON; `restore` takes it back."""

    @abstractmethod
    def restore(self, facts: Mapping[str, Any]) -> None:
        """Make the task as it was after `fit`, without the data."""

    def resolved(self, columns: Columns) -> dict[str, Any]:
        """The options left open, as they were found: the columns, and what `fit` decided."""
        return {f"{role}_column": name for role, name in columns.items()}

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the base model's `from_pretrained`."""
        return {}

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        """Check, and where needed complete, the tokenizer (padding token, chat template).

        Raises ModelError when it can't serve this task.
        """

    def framing(self, columns: Columns) -> Framing | None:
        """What is put around a chat, as it was learned. None where the task answers no chats."""
        return None

    @abstractmethod
    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        """Token ids and targets of each row, cut to `max_length` tokens, in the rows' order.

        `input_ids` is a list of ids; `targets` the number of targets left after the cut. Where a
        row is learned in several examples, `earlier` has those before the one it is judged by.
        Where answers end with a token: `length` counts the tokens before the cut, `lost_ends` the
        answers whose end was cut off, `kept_ends` those to be learned whose end was not, `left_out`
        those that can't be learned.
        """

    @abstractmethod
    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        """Tokens of each row before any cut; needs no `fit`."""

    @abstractmethod
    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        """One batch of tensors, padded to its longest example, and to `width` tokens at least."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        """The training loss: a scalar tensor.

        `num_items` is the number of targets in all the batches of one optimizer step; where the
        loss is a mean over targets, the sum is divided by it, so that accumulation changes nothing.
        """

    def control_tokens(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any
    ) -> list[str | None]:
        """The first control token of the model in each row's texts, or None; needs no `fit`."""
        control = ControlTokens(tokenizer)
        return [control.first(self.key(row, columns)) for row in rows]

    def notes(self, tokenizer: Any) -> list[str]:
        """What a user should know of how the model is asked, with the `tokenizer` prepared."""
        return []

    def generation_settings(self, tokenizer: Any) -> Any:
        """The `GenerationConfig` by which an adapter answers; None where it writes no text."""
        return None

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        """The number (or weight) of targets in `batch`: what `num_items` counts."""
        return len(batch["input_ids"])

    def count_tokens(self, batch: Batch) -> int:
        """Tokens of all the texts in `batch`, without padding."""
        return int(batch["attention_mask"].sum())

    def reference(self, model: Any, batch: Batch) -> list[Example]:
        """What the base model says of each row of `batch`: fields (JSON) for the rows' examples.

        `model` computes as the base model. Asked once, before training, where `needs_reference`.
        """
        return [{} for _ in range(len(batch["input_ids"]))]

    # -- the score --------------------------------------------------------------------------

    @abstractmethod
    def predict(
        self,
        model: Any,
        batches: Iterable[tuple[Sequence[Row], Batch]],
        columns: Columns,
        tokenizer: Any,
        *,
        generate: bool = True,
    ) -> Iterator[Prediction]:
        """Predictions for each row, in the batches' order.

        `generate=False` leaves out what is slow (generated answers), for a quick look.
        """

    @abstractmethod
    def score(self, predictions: Sequence[Prediction]) -> Score:
        """The metrics of `predictions`, Hugging Face's names without the `eval_` prefix."""

    def cautions(self, score: Score) -> list[str]:
        """What a user must know beside the score, in sentences."""
        return []

    @abstractmethod
    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        """The score of the best answer that needs no model, as `{"name", "metric", "value"}`."""

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        """What is asked as a row: a text, columns by name, or `{"messages": [...]}` for a chat.

        Raises DataError when the task can't be asked that.
        """
        raise UserError(f"an adapter of the task {self.name} can't be asked anything yet.")

    def question_length(
        self, trained: int, longest: int | None, max_new_tokens: int | None = None
    ) -> int:
        """Most tokens of a question, where `trained` are the most of a row in training.

        `longest` is what the model takes; None where it states nothing. Unless a task says
        otherwise, it is what the adapter was judged with. Raises DataError when no room is left.
        """
        return min(trained, longest or trained)

    def longest_generated(self) -> int | None:
        """Most tokens of an answer that is text, where nothing else is asked for.

        None where the task answers no conversations.
        """
        return None

    def encode_questions(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        """Token ids of what `question` gave, cut to `max_length`; `cut` says whether that was done.

        Raises DataError when what is left of one could not be understood.
        """
        raise UserError(f"an adapter of the task {self.name} can't be asked anything yet.")

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        """The model's answers to one batch of encoded questions, in their order.

        `max_new_tokens` bounds generated text; None is what the task would take by itself.
        """
        raise UserError(f"an adapter of the task {self.name} can't be asked anything yet.")

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Task | None:
        """The task as the base model itself, without the adapter, would answer it.

        `settings` is its `config.json`, `fresh` its modules without weights of their own. None
        where its answers would be those of random weights.
        """
        return None if fresh else self

    def with_labels_of(self, names: Mapping[str, Any]) -> Task | None:
        """The task with its labels in the order of `names`, the base model's own `id2label`.

        As such it is what the base model, its head still its own, answers. None where nothing
        about the order would change, or the names are no labels of this task.
        """
        return None

    @abstractmethod
    def usage(self, place: ModelPlace) -> str:
        """Python code that loads the model from `place`, uses it and prints what it answers."""

    def usage_of_logits(self) -> str:
        """Python code that prints what `logits`, an array of numpy for one text, say.

        Of a task that writes text there is none: it is no one graph.
        """
        raise UserError(f"an adapter of the task {self.name} can't be written as an ONNX graph.")
