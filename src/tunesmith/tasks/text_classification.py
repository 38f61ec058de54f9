"""Text classification: one label of many, or several at once, for a text or a pair of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tunesmith.errors import ConfigError, DataError
from tunesmith.messages import say
from tunesmith.tasks.base import Batch, Batches, Columns, Example, Row
from tunesmith.tasks.options import TaskOptions, column
from tunesmith.tasks.parts.calibrated import CalibratedOptions, CalibratedTask
from tunesmith.tasks.parts.columns import require_columns, with_marks
from tunesmith.tasks.parts.figures import Counts, confusion, labels_without_rows
from tunesmith.tasks.parts.label_texts import as_list, clean, is_missing, marks
from tunesmith.tasks.parts.labels import in_order
from tunesmith.tasks.parts.spans import read_document
from tunesmith.tasks.parts.texts import TEXT_NAMES, TextTask
from tunesmith.tasks.results import ACCURACY, LOSS, Answer, Metric, Prediction, Score
from tunesmith.tasks.tokens.places import ModelPlace
from tunesmith.values import canonical

if TYPE_CHECKING:
    import torch


class TextClassificationOptions(CalibratedOptions):
    """Options of `task: text-classification`."""

    name: Literal["text-classification"] = "text-classification"
    text_column: str | None = column("Column with the text; null finds it by its name.")
    text_pair_column: str | None = column(
        "Column with the second text, for pairs such as premise and hypothesis."
    )
    label_column: str | None = column("Column with the label; null finds it by its name.")
    label_columns: list[str] | None = Field(
        None, min_length=2, description="Columns of 0 and 1, one for each label, called as it is."
    )
    labels: list[str | int | bool | float] | None = Field(
        None, min_length=1, description="The labels, in order; null takes those of the data."
    )
    multi_label: bool = Field(
        False, description="A text may have several labels: a list, or one string with separators."
    )
    label_separator: str = Field(
        ",", min_length=1, description="What separates the labels of one text in a string."
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0.0)]] | None = Field(
        None, description="Weight of each label in the loss; balanced: by its rarity."
    )

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[Any] | None) -> list[Any] | None:
        counts = Counter(clean(canonical(label)) for label in labels or ())
        twice = [name for name, n in counts.items() if n > 1]
        if twice:
            raise ValueError(
                say("must differ from each other; twice there: {names}", names=", ".join(twice))
            )
        return labels

    @model_validator(mode="after")
    def _one_source(self) -> TextClassificationOptions:
        if self.label_columns and (self.label_column or self.labels):
            raise ValueError(
                say("label_columns name the labels: leave label_column and labels out beside them")
            )
        return self


class TextClassification(CalibratedTask, TextTask):
    """Learn the label of a text."""

    name = "text-classification"
    label = "text classification"
    summary = say("Learn the label of a text: two or many classes, or several labels at once.")
    Options = TextClassificationOptions
    peft_task_type = "SEQ_CLS"
    auto_class = "AutoModelForSequenceClassification"
    pipeline_tag = "text-classification"
    metrics = (ACCURACY, Metric("f1_macro", "F1, mean of the labels", is_share=True), LOSS)
    main_metric = "accuracy"
    best_metric = "accuracy"
    is_default = True
    answer_looks = "label"

    column_names = MappingProxyType({
        "text": TEXT_NAMES,
        "label": ("label", "labels", "category", "class", "target", "sentiment", "topic", "intent",
                  "emotion", "stars", "rating", "標籤", "标签", "類別", "类别", "分類", "分类",
                  "類型", "类型", "種類", "种类", "情緒", "情绪", "情感", "意圖", "意图", "主題",
                  "主题", "評分", "评分", "星等", "星級", "星级"),
    })  # fmt: skip
    examples = (
        {"text": "The parcel came two days late.", "label": "delivery"},
        {"text": "I was charged twice this month.", "label": "billing"},
    )

    options: TextClassificationOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.several = self.options.multi_label
        self.weights: list[float] | None = None
        wanted = self.labels_wanted()
        self._wanted = None if wanted is None else list(wanted)

    # -- the data ---------------------------------------------------------------------------

    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        require_columns("task.label_columns", self.mark_columns(), available)
        try:
            return super().find_columns(available, sample)
        except ConfigError as error:
            raise ConfigError(with_marks(error.problems, available, sample)) from error

    def resolved(self) -> dict[str, Any]:
        found = super().resolved()
        if self.options.label_columns:
            found |= {"label_column": None, "labels": None}
        return found

    def label_column(self) -> str | None:
        return self.columns["label"]

    def parse_label(self, value: Any) -> Any:
        """None where there is none. Raises DataError where the value can be no label."""
        if self.options.multi_label:
            return None if value != "" and is_missing(value) else self._several(value)
        return self._single(value)

    def labels_wanted(self) -> Sequence[str] | None:
        named = self.options.label_columns or self.options.labels
        return [clean(canonical(label)) for label in named] if named else None

    def mark_columns(self) -> Sequence[str]:
        return self.options.label_columns or ()

    def stratum(self, row: Row) -> str:
        return "\x1f".join(sorted(self._labels_of(row)))

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        counts = Counter(label for row in train for label in self._labels_of(row))
        elsewhere = {label for row in evaluation for label in self._labels_of(row)}
        wanted, column = self.labels_wanted(), self.columns["label"]
        self.labels = list(wanted) if wanted else in_order({*counts, *elsewhere})
        if not self.labels:
            raise DataError("column {column} holds no label at all.", column=repr(column))
        if unknown := sorted({*counts, *elsewhere} - set(self.labels)):
            raise DataError(
                "column {column} has labels that task.labels doesn't name: {names}.",
                column=repr(column),
                names=list(map(repr, unknown)),
            )
        if len(self.labels) < 2 and not self.options.multi_label:
            raise DataError(
                "column {column} holds a single label, {label}: there is nothing to tell "
                "apart. Give data with at least two labels, or name another column in "
                "task.label_column.",
                column=repr(column),
                label=repr(self.labels[0]),
            )
        if missing := [label for label in self.labels if not counts[label]]:
            raise DataError(
                "no row to train on has the label {names} (column {column}). Train on more "
                "rows (data.train_samples), or leave the label out of task.labels.",
                names=list(map(repr, missing)),
                column=repr(column),
            )
        self.weights = self._class_weights(counts)

    def _class_weights(self, counts: Mapping[str, int]) -> list[float] | None:
        given = self.options.class_weights
        if given is None:
            return None
        if given == "balanced":  # scikit-learn's formula: n_samples / (n_classes * count)
            total = sum(counts[label] for label in self.labels)
            return [total / (len(self.labels) * counts[label]) for label in self.labels]
        if unknown := sorted(set(given) - set(self.labels)):
            raise DataError(
                "task.class_weights names labels that the data don't have: {names}; "
                "there are {labels}.",
                names=list(unknown),
                labels=list(self.labels),
            )
        return [float(given.get(label, 1.0)) for label in self.labels]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "weights": self.weights}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.weights = facts.get("weights")

    def _labels_of(self, row: Row) -> list[str]:
        value = row[self.columns["label"]]
        if self.options.multi_label:
            return self._several(value)
        return [canonical(self._single(value))]

    def _several(self, value: Any) -> list[str]:
        """The labels in a list, a text that holds one, a list of marks, or between separators."""
        found = as_list(value)
        if found is None and isinstance(value, str):
            found = list(value.strip("[] ").split(self.options.label_separator))
        elif found is None:
            found = [value]
        marked = marks(found, self._wanted)
        items = found if marked is None else marked
        _require_no_object(*items)
        return [self._named(item) for item in items if not is_missing(item)]

    def _single(self, value: Any) -> Any:
        """The label of a value, also where it is the only one in a list; None where there is none.

        Raises DataError where there are several, or an object.
        """
        while (found := as_list(value)) is not None:
            marked = marks(found, self._wanted)
            found = [item for item in (found if marked is None else marked) if not is_missing(item)]
            if len(found) > 1:
                raise DataError(
                    "there are several labels: set task.multi_label: true, or keep one of them"
                )
            value = found[0] if found else None
        _require_no_object(value)
        if is_missing(value) and canonical(value) not in (self._wanted or ()):
            return None
        named = self._named(value)
        return value if named == canonical(value) else named

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        several = "multi" if self.options.multi_label else "single"
        return {**super().model_arguments(), "problem_type": f"{several}_label_classification"}

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        index = {label: i for i, label in enumerate(self.labels)}
        examples = self.inputs(rows, tokenizer, max_length)
        for row, example in zip(rows, examples, strict=True):
            ids = [index[label] for label in self._labels_of(row)]
            example["targets"] = 1
            if self.options.multi_label:
                example["labels"] = [float(i in ids) for i in range(len(self.labels))]
            else:
                example["labels"] = ids[0]
        return examples

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        losses = self._losses(self.logits(model, batch), batch["labels"])
        if self.weights is not None and not self.options.multi_label:
            losses = losses * losses.new_tensor(self.weights)[batch["labels"]]
        items = self.count_items(batch) if num_items is None else num_items
        return losses.sum() / items

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        labels = batch["labels"]
        if self.weights is None or self.options.multi_label:
            return len(labels)
        import torch

        return torch.tensor(self.weights)[labels.cpu()].sum()

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of each row, in nats, without class weights for single labels: shape (rows,)."""
        from torch.nn import functional

        if not self.options.multi_label:
            return functional.cross_entropy(logits, labels, reduction="none")
        weight = logits.new_tensor(self.weights) if self.weights else None
        losses = functional.binary_cross_entropy_with_logits(
            logits, labels, reduction="none", weight=weight
        )
        return losses.mean(dim=1)

    # -- the score --------------------------------------------------------------------------

    def predict(
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            logits = self.logits(model, batch)
            losses = self._losses(logits, batch["labels"]).tolist()
            found = zip(rows, logits.tolist(), self.chances(logits), losses, strict=True)
            for row, scores, chances, loss in found:
                yield self._prediction(row, scores, chances, loss)

    def _prediction(
        self, row: Row, scores: list[float], chances: list[float], loss: float
    ) -> Prediction:
        expected: Any = self._labels_of(row)
        predicted = self.chosen(scores)
        if self.several:
            expected = [label for label in self.labels if label in expected]
        else:
            expected = expected[0]
        correct = predicted == expected
        return Prediction(
            row=int(row.get("_row", 0)),
            text=self.key(row),
            expected=expected,
            predicted=predicted,
            correct=correct,
            confidence=self.confidence(chances),
            loss=loss,
            tokens_correct=int(correct),
            scores=tuple(scores),
        )

    def score(self, predictions: Sequence[Prediction]) -> Score:
        total = max(len(predictions), 1)
        metrics = {
            "accuracy": sum(p.correct for p in predictions) / total,
            "loss": sum(p.loss or 0.0 for p in predictions) / total,
        }
        several, counts = self.several, Counts()
        for p in predictions:
            counts.add(*((p.expected, p.predicted) if several else ([p.expected], [p.predicted])))
        metrics["f1_macro"] = counts.macro(self.labels)
        details = counts.details(self.labels)
        if not several:
            details |= confusion([(p.expected, p.predicted) for p in predictions], self.labels)
        return Score(metrics=metrics, main=self.main_metric, details=details)

    def cautions(self, score: Score) -> list[str]:
        return labels_without_rows(score.details)

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        counts = Counter(self.stratum(row) for row in train)
        answer = max(sorted(counts), key=counts.__getitem__)
        hits = sum(self.stratum(row) == answer for row in evaluation)
        label = answer.replace("\x1f", ", ")
        return {
            "name": say("always {label}, the most frequent label", label=repr(label)),
            "metric": "accuracy",
            "value": hits / max(len(evaluation), 1),
        }

    # -- answers to something new ------------------------------------------------------------

    def answers(
        self, model: Any, examples: Sequence[Example], tokenizer: Any, max_new_tokens: int | None
    ) -> list[Answer]:
        logits = self.asked_logits(model, examples, tokenizer)
        return list(map(self.said, logits.tolist(), self.chances(logits)))

    def with_labels_of(self, names: Mapping[str, Any]) -> Self | None:
        own = super().with_labels_of(names)
        if own is not None and self.weights is not None:
            own.weights = [self.weights[self.labels.index(label)] for label in own.labels]
        return own

    def usage(self, place: ModelPlace) -> str:
        several = ', top_k=None, function_to_apply="sigmoid"' if self.options.multi_label else ""
        loading = place.loading(
            "AutoModelForSequenceClassification",
            arguments=f", num_labels={len(self.labels)}",
            prepare=f"base.config.id2label = dict(enumerate({self.labels!r}))",
        )
        names = ("AutoModelForSequenceClassification", "AutoTokenizer", "pipeline")
        return f"""{place.imports(*names)}

{loading}
{self.calibrating_code()}classify = pipeline("text-classification", model=model,
                    tokenizer=AutoTokenizer.from_pretrained({place.folder}))
print(classify("A text of your own"{several}))"""

    def usage_of_logits(self) -> str:
        if self.options.multi_label:
            return f"print([label for label, one in zip({self.labels!r}, logits[0]) if one > 0])"
        return f"print({self.labels!r}[logits[0].argmax()])"


def _require_no_object(*values: Any) -> None:
    """Raise DataError where a value is an object, or JSON text of one."""
    for value in values:
        is_text = isinstance(value, str) and value.lstrip().startswith("{")
        if isinstance(read_document(value) if is_text else value, Mapping):
            raise DataError("an object is no label: give a text or a number")
