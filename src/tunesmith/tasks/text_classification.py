"""Text classification: one label of many, or several at once, for a text or a pair of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import from_json

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
from tunesmith.tasks.figures import LABELS, Counts, confusion, without_rows
from tunesmith.tasks.labels import as_ordered, chosen, in_order, label_answers, probabilities
from tunesmith.tasks.places import ModelPlace
from tunesmith.tasks.texts import TextTask
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch


class TextClassificationOptions(TaskOptions):
    """Options of `task: text-classification`."""

    name: Literal["text-classification"] = "text-classification"
    text_column: str | None = Field(
        None, description="Column with the text; null finds it by its name."
    )
    text_pair_column: str | None = Field(
        None, description="Column with the second text, for pairs such as premise and hypothesis."
    )
    label_column: str | None = Field(
        None, description="Column with the label; null finds it by its name."
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
        twice = [name for name, n in Counter(map(canonical, labels or ())).items() if n > 1]
        if twice:
            raise ValueError(f"must differ from each other; twice there: {', '.join(twice)}")
        return labels


class TextClassification(TextTask):
    """Learn the label of a text."""

    name = "text-classification"
    summary = "Learn the label of a text: two or many classes, or several labels at once."
    Options = TextClassificationOptions
    peft_task_type = "SEQ_CLS"
    auto_class = "AutoModelForSequenceClassification"
    main_metric = "accuracy"
    best_metric = "accuracy"
    quick_metrics = ("accuracy", "f1_macro", "loss")
    is_default = True

    options: TextClassificationOptions
    answer_wanted = Wanted(
        "label", "label_column", ("label", "labels", "category", "class", "target", "sentiment",
                                  "topic", "intent", "stars", "rating"),
    )  # fmt: skip

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.labels: list[str] = []
        self.weights: list[float] | None = None

    # -- the data ---------------------------------------------------------------------------

    def label_column(self, columns: Columns) -> str | None:
        return columns["label"]

    def parse_label(self, value: Any) -> Any:
        return self._several(value) if self.options.multi_label else value

    def labels_wanted(self) -> Sequence[str] | None:
        return [canonical(label) for label in self.options.labels] if self.options.labels else None

    def stratum(self, row: Row, columns: Columns) -> str:
        return "\x1f".join(sorted(self._labels_of(row, columns)))

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        counts = Counter(label for row in train for label in self._labels_of(row, columns))
        elsewhere = {label for row in evaluation for label in self._labels_of(row, columns)}
        wanted = self.labels_wanted()
        self.labels = list(wanted) if wanted else in_order({*counts, *elsewhere})
        if not self.labels:
            raise DataError(f"column {columns['label']!r} holds no label at all.")
        if unknown := sorted({*counts, *elsewhere} - set(self.labels)):
            raise DataError(
                f"column {columns['label']!r} has labels that task.labels doesn't name: "
                f"{', '.join(map(repr, unknown))}."
            )
        if len(self.labels) < 2 and not self.options.multi_label:
            raise DataError(
                f"column {columns['label']!r} holds a single label, {self.labels[0]!r}: there is "
                "nothing to tell apart. Give data with at least two labels, or name another "
                "column in task.label_column."
            )
        if missing := [label for label in self.labels if not counts[label]]:
            raise DataError(
                f"no row to train on has the label {', '.join(map(repr, missing))} "
                f"(column {columns['label']!r}). Train on more rows (data.train_samples), or leave "
                "the label out of task.labels."
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
                f"task.class_weights names labels that the data don't have: {', '.join(unknown)}; "
                f"there are {', '.join(self.labels)}."
            )
        return [float(given.get(label, 1.0)) for label in self.labels]

    def facts(self) -> dict[str, Any]:
        return {"labels": self.labels, "weights": self.weights}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.labels = list(facts["labels"])
        self.weights = facts.get("weights")

    def resolved(self, columns: Columns) -> dict[str, Any]:
        return {**super().resolved(columns), "labels": list(self.labels)}

    def _labels_of(self, row: Row, columns: Columns) -> list[str]:
        value = row[columns["label"]]
        return self._several(value) if self.options.multi_label else [canonical(value)]

    def _several(self, value: Any) -> list[str]:
        """The labels in a list, a JSON list, or a string with separators."""
        if isinstance(value, str):
            if value.lstrip().startswith("["):
                try:
                    value = from_json(value)
                except ValueError:  # also nested without end, or with half of a character
                    value = value.strip("[] ").split(self.options.label_separator)
            else:
                value = value.split(self.options.label_separator)
        if not isinstance(value, (list, tuple)):
            value = [] if value is None else [value]
        return [text for item in value if (text := canonical(item).strip())]

    # -- the model --------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        return {
            **super().model_arguments(),
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "problem_type": "multi_label_classification"
            if self.options.multi_label
            else "single_label_classification",
        }

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        index = {label: i for i, label in enumerate(self.labels)}
        examples = self.inputs(rows, columns, tokenizer, max_length)
        for row, example in zip(rows, examples, strict=True):
            ids = [index[label] for label in self._labels_of(row, columns)]
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
        self,
        model: Any,
        batches: Iterable[tuple[Sequence[Row], Batch]],
        columns: Columns,
        tokenizer: Any,
        *,
        generate: bool = True,
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            logits = self.logits(model, batch)
            losses = self._losses(logits, batch["labels"]).tolist()
            likely = probabilities(logits, several=self.options.multi_label)
            for row, scores, chances, loss in zip(
                rows, logits.tolist(), likely, losses, strict=True
            ):
                yield self._prediction(row, columns, scores, chances, loss)

    def _prediction(
        self, row: Row, columns: Columns, scores: list[float], chances: list[float], loss: float
    ) -> Prediction:
        expected: Any = self._labels_of(row, columns)
        predicted = chosen(chances, self.labels, several=self.options.multi_label)
        if self.options.multi_label:
            expected = [label for label in self.labels if label in expected]
            confidence = min(max(p, 1 - p) for p in chances)
        else:
            expected, confidence = expected[0], max(chances)
        correct = predicted == expected
        return Prediction(
            row=int(row.get("_row", 0)),
            text=self.key(row, columns),
            expected=expected,
            predicted=predicted,
            correct=correct,
            confidence=confidence,
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
        several, counts = self.options.multi_label, Counts()
        for p in predictions:
            counts.add(*((p.expected, p.predicted) if several else ([p.expected], [p.predicted])))
        metrics["f1_macro"] = counts.macro(self.labels)
        details = counts.details(self.labels)
        if not several:
            details |= confusion([(p.expected, p.predicted) for p in predictions], self.labels)
        return Score(metrics=metrics, main=self.main_metric, details=details)

    def cautions(self, score: Score) -> list[str]:
        return without_rows(score.details, LABELS)

    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        counts = Counter(self.stratum(row, columns) for row in train)
        answer = max(sorted(counts), key=counts.__getitem__)
        hits = sum(self.stratum(row, columns) == answer for row in evaluation)
        label = answer.replace("\x1f", ", ")
        return {
            "name": f"always {label!r}, the most frequent label",
            "metric": "accuracy",
            "value": hits / max(len(evaluation), 1),
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
        logits = self.asked_logits(model, examples, tokenizer)
        found = label_answers(logits, self.labels, several=self.options.multi_label)
        return [
            replace(answer, cut=example["cut"])
            for answer, example in zip(found, examples, strict=True)
        ]

    def of_base(
        self, settings: Mapping[str, Any], fresh: Sequence[str]
    ) -> TextClassification | None:
        if fresh:
            return None
        names = settings.get("id2label") or {}
        own = TextClassification(self.options)
        own.restore({**self.facts(), "labels": [str(names[key]) for key in sorted(names, key=int)]})
        return own if len(own.labels) == len(self.labels) else self

    def with_labels_of(self, names: Mapping[str, Any]) -> TextClassification | None:
        ordered = as_ordered(self.labels, names)
        if ordered is None:
            return None
        weights = self.weights and [self.weights[self.labels.index(label)] for label in ordered]
        own = TextClassification(self.options)
        own.restore({"labels": ordered, "weights": weights})
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
classify = pipeline("text-classification", model=model,
                    tokenizer=AutoTokenizer.from_pretrained({place.folder}))
print(classify("A text of your own"{several}))"""

    def usage_of_logits(self) -> str:
        if self.options.multi_label:
            return f"print([label for label, one in zip({self.labels!r}, logits[0]) if one > 0])"
        return f"print({self.labels!r}[logits[0].argmax()])"
