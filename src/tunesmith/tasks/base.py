"""What can be learned: the interface that every task fills in.

Rules, stated first:

- A task is one file in this folder, found by being there, or a class of another package, found by
  its entry point (`plugins`); nothing else lists tasks, their words or their metrics.
- It knows its options, how rows become tensors, the loss, the predictions and the metrics. It
  knows nothing of files, stores, queues or training loops.
- It is light to import: torch and transformers are imported inside the methods that compute.
- The same rows, options and model give the same tensors and numbers, always.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tunesmith.errors import UserError
from tunesmith.tasks.forms import AnswerForm
from tunesmith.tasks.options import TaskOptions
from tunesmith.tasks.results import Answer, Judged, Prediction, Score, Unwritten
from tunesmith.tasks.tokens.control_tokens import ControlTokens
from tunesmith.tasks.tokens.framing import Framing
from tunesmith.tasks.tokens.places import ModelPlace

if TYPE_CHECKING:
    import torch

Row = Mapping[str, Any]
"""One row of the data: column name → value. `_row` is its 1-based number in the source."""

Example = dict[str, Any]
"""One encoded row: `input_ids` and whatever else the task's `collate` needs."""

Batch = dict[str, Any]
"""Tensors of one batch, first dimension the rows."""

Batches = Iterable[tuple[Sequence[Row], Batch]]
"""Batches, each with its rows."""

Columns = Mapping[str, str]
"""Role → column name, as in `{"text": "review", "label": "category"}`."""


class Task(Judged, ABC):
    """One kind of learning, bound to the options that its user chose."""

    name: ClassVar[str]
    """Hugging Face's name of the task, as in `task: text-classification`."""
    label: ClassVar[str]
    """What is learned in two or three words, as on a list; the page translates it."""
    summary: ClassVar[str]
    """One line for people who choose."""
    pipeline_tag: ClassVar[str | None] = None
    """The hub's name of what its adapters do, in their model cards; None: none fits."""
    examples: ClassVar[tuple[Row, ...]] = ()
    """A few rows that it can learn from, to show what its data look like."""
    Options: ClassVar[type[TaskOptions]]
    peft_task_type: ClassVar[str]
    """PEFT's `TaskType`."""
    auto_class: ClassVar[str]
    """The transformers class that loads its base model."""
    judged_by_text: ClassVar[bool] = False
    """Whether a prediction is the text that the model writes, word by word."""
    is_default: ClassVar[bool] = False
    """Whether `lora.task_type` alone means this task."""
    column_names: ClassVar[Mapping[str, tuple[str, ...]]]
    """Role → usual names of its column, lower case, the most usual first; what is learned last."""
    telling_columns: ClassVar[frozenset[str]] = frozenset()
    """Column names, lower case, by which data for this task are known."""
    points_into_text: ClassVar[bool] = False
    """Whether answers are places in the text: then nothing in it is mended, which would move them,
    and it may also be a list of words."""
    fault_rules: ClassVar[tuple[str, ...]] = ()
    """The rules that `faults` may name, each a field of `data.validation_rules`."""
    token_rules: ClassVar[tuple[str, ...]] = ("cut_texts", "control_tokens", "unknown_tokens")
    """The rules that need the model's tokenizer: first the one for rows over `data.max_length`."""
    eval_batch_scale: ClassVar[int] = 4
    """How many times the training batch an evaluation batch may be, where not configured."""
    texts_per_row: ClassVar[int] = 1
    """How many texts as long as `input_ids` the model reads for a row."""
    needs_reference: ClassVar[bool] = False
    """Whether what the base model says of a row (`reference`) is a part of its example."""
    writes_text: ClassVar[bool] = False
    """Whether the model writes its answers, token by token: a causal language model."""

    def __init__(self, options: TaskOptions) -> None:
        self.options = options
        self.columns: Columns = {}
        """Those of the data that it is bound to: role → column, what is learned last."""

    def bind(self, columns: Columns) -> None:
        """Take `columns` as those of the data: all but `find_columns` is about them."""
        self.columns = dict(columns)

    def fresh(self) -> Self:
        """The same options, bound to the same columns, as before `fit`."""
        own = type(self)(self.options)
        own.bind(self.columns)
        return own

    # -- the data ---------------------------------------------------------------------------

    @abstractmethod
    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        """Which column plays which role, what is learned last; what is left open is guessed.

        Guesses rest on names and on the values in `sample`. Raises ConfigError with one problem per
        option that names no column, each listing what there is.
        """

    @abstractmethod
    def text_columns(self) -> list[str]:
        """The columns that the length, emptiness and HTML rules look at."""

    def answer_columns(self) -> list[str]:
        """The columns with text that is learned instead of read; chats are text columns."""
        return []

    def chat_columns(self) -> list[str]:
        """The columns that may hold conversations: lists of {role, content}."""
        return [self.columns["messages"]] if "messages" in self.columns else []

    def is_recorded_whole(self) -> bool:
        """Whether a prediction's `text` and `expected` are the row: one text, and what it is."""
        return False

    def read_columns(self) -> list[str]:
        """Every column that the task reads of a row, by name."""
        return sorted({*self.columns.values(), *self.text_columns()})

    def faults(self, row: Row) -> Iterable[tuple[str, str]]:
        """What is wrong with `row`, as (rule, advice); the rules are of `fault_rules`."""
        return ()

    def form(self, rows: Iterable[Row]) -> AnswerForm | None:
        """How the answers of all `rows`, those of every split, are written; None: as `faults` and
        all else take them. Raises ConfigError where only a person can say it.
        """
        return None

    def label_column(self) -> str | None:
        """The column whose values are labels, one a row; None where the task has no such column."""
        return None

    def parse_label(self, value: Any) -> Any:
        """The label, or labels, that a value stands for, or None. DataError: it can be none."""
        return value

    def labels_wanted(self) -> Sequence[str] | None:
        """The labels that the options allow; None where any will do."""
        return None

    @abstractmethod
    def key(self, row: Row) -> str:
        """The text by which two rows are the same: no key stands on both sides of a split."""

    def stratum(self, row: Row) -> str:
        """The group whose share a split keeps equal on both sides; one group by default."""
        return ""

    def batch_stratum(self, row: Row) -> str:
        """The group that has its share in every batch; known after `fit`."""
        return self.stratum(row)

    @abstractmethod
    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        """Learn from the rows what the task must know before encoding, such as the set of labels.

        Raises DataError when the rows can't be learned from (a single label, say).
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What `fit` found, as JSON; `restore` takes it back."""

    @abstractmethod
    def restore(self, facts: Mapping[str, Any]) -> None:
        """Make the task as it was after `fit`, without the data."""

    def resolved(self) -> dict[str, Any]:
        """The options left open, as they were found: the columns, and what `fit` decided."""
        return {f"{role}_column": name for role, name in self.columns.items()}

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the base model's `from_pretrained`."""
        return {}

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        """Check, and where needed complete, the tokenizer (padding token, chat template).

        Raises ModelError when it can't serve this task.
        """

    def framing(self) -> Framing | None:
        """What is put around a chat, as it was learned. None where the task answers no chats."""
        return None

    @abstractmethod
    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        """Token ids and targets of each row, cut to `max_length` tokens, in the rows' order.

        `input_ids` is a list of ids; `targets` the number of targets left after the cut. Where a
        row is learned in several examples, `earlier` has those before the one it is judged by.
        Where answers end with a token: `length` counts the tokens before the cut, `lost_ends` the
        answers whose end was cut off, `kept_ends` those to be learned whose end was not, `left_out`
        those that can't be learned.
        """

    @abstractmethod
    def token_counts(self, rows: Sequence[Row], tokenizer: Any) -> list[int]:
        """Tokens of each row before any cut; needs no `fit`."""

    @abstractmethod
    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        """One batch of tensors, padded to its longest example, and to `width` tokens at least."""

    def collate_for(self, model: Any, examples: Sequence[Example], tokenizer: Any) -> Batch:
        """One batch on the device of `model`."""
        device = next(model.parameters()).device
        batch = self.collate(examples, tokenizer.pad_token_id)
        return {name: tensor.to(device) for name, tensor in batch.items()}

    @abstractmethod
    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        """The training loss: a scalar tensor.

        `num_items` is the number of targets in all the batches of one optimizer step; where the
        loss is a mean over targets, the sum is divided by it, so that accumulation changes nothing.
        """

    def control_tokens(self, rows: Sequence[Row], tokenizer: Any) -> list[str | None]:
        """The first control token of the model in each row's texts, or None; needs no `fit`."""
        control = ControlTokens(tokenizer)
        return [control.first(self.key(row)) for row in rows]

    def unwritten(self, rows: Sequence[Row], tokenizer: Any) -> list[Unwritten | None]:
        """What the model's chat template leaves out of each row's tools; needs no `fit`."""
        return [None] * len(rows)

    def notes(self, tokenizer: Any) -> Iterable[str]:
        """What a user should know of how the model is asked, with the `tokenizer` prepared."""
        return ()

    def generation_settings(self, tokenizer: Any) -> Any:
        """The `GenerationConfig` by which an adapter answers; None where it writes no text."""
        return None

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        """The number (or weight) of targets in `batch`: what `num_items` counts."""
        return len(batch["input_ids"])

    def count_tokens(self, batch: Batch) -> int:
        """Tokens of all the texts in `batch`, without padding."""
        return int(batch["attention_mask"].sum())

    def require_model(self, model: Any, tokenizer: Any) -> None:
        """Raise ModelError where the loaded `model` can't do what this task asks of it."""

    def reference(self, model: Any, batch: Batch) -> list[Example]:
        """What the base model says of each row of `batch`: fields (JSON) for the rows' examples.

        `model` computes as the base model. Asked once, before training, where `needs_reference`.
        """
        return [{} for _ in range(len(batch["input_ids"]))]

    # -- the score --------------------------------------------------------------------------

    @abstractmethod
    def predict(
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
    ) -> Iterator[Prediction]:
        """Predictions for each row, in the batches' order; `generate`: generated answers too."""

    @abstractmethod
    def score(self, predictions: Sequence[Prediction]) -> Score:
        """The metrics of `predictions`, Hugging Face's names without the `eval_` prefix."""

    def cautions(self, score: Score) -> list[str]:
        """What a user must know beside the score, in sentences."""
        return []

    @abstractmethod
    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        """The score of the best answer that needs no model, as `{"name", "metric", "value"}`."""

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any]) -> Row:
        """What is asked as a row: a text, columns by name, or `{"messages": [...]}` for a chat.

        Raises DataError when the task can't be asked that, UserError when it can't be asked at all.
        """
        raise UserError(
            "an adapter of the task {name} can't be asked anything yet.", name=self.name
        )

    def question_length(
        self, trained: int, longest: int | None, max_new_tokens: int | None = None
    ) -> int:
        """Most tokens of a question, where `trained` are the most of a row in training.

        `longest` is what the model takes; None where it states nothing. Raises DataError when no
        room is left.
        """
        return min(trained, longest or trained)

    def longest_generated(self) -> int | None:
        """Most tokens of an answer that is text, where nothing else is asked for; else None."""
        return None

    def encode_questions(
        self, rows: Sequence[Row], tokenizer: Any, max_length: int
    ) -> list[Example]:
        """Token ids of what `question` gave, cut to `max_length`; `cut` says whether that was done.

        Raises DataError when what is left of one could not be understood.
        """
        raise NotImplementedError

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
        found = self.answers(model, examples, tokenizer, max_new_tokens)
        return [
            replace(answer, cut=example["cut"])
            for answer, example in zip(found, examples, strict=True)
        ]

    def answers(
        self, model: Any, examples: Sequence[Example], tokenizer: Any, max_new_tokens: int | None
    ) -> list[Answer]:
        """The same, without a word of what was cut."""
        raise NotImplementedError

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Task | None:
        """The task as the base model itself, without the adapter, would answer it.

        `settings` is its `config.json`, `fresh` its modules without weights of their own. None
        where its answers would be those of random weights.
        """
        return None if fresh else self

    def with_labels_of(self, names: Mapping[str, Any]) -> Task | None:
        """The task with its labels in the order of `names`, the base model's own `id2label`.

        None where the order is the same already, or the names are no labels of this task.
        """
        return None

    @abstractmethod
    def usage(self, place: ModelPlace) -> str:
        """Python code that loads the model from `place`, uses it and prints what it answers."""

    def usage_of_logits(self) -> str:
        """Python code that prints what `logits`, an array of numpy for one text, say."""
        raise UserError(
            "an adapter of the task {name} can't be written as an ONNX graph.", name=self.name
        )
