"""A task: a share from 0 to 1 for a text, such as how sure a reviewer was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tunesmith.tasks.base import Batch, Example, Row
from tunesmith.tasks.options import TaskOptions
from tunesmith.tasks.parts.texts import TEXT_NAMES, TextTask
from tunesmith.tasks.results import LOSS, Answer, Metric, Prediction, Score
from tunesmith.tasks.tokens.places import ModelPlace


class ShareOptions(TaskOptions):
    """Options of `task: toy-share`."""

    name: Literal["toy-share"] = "toy-share"
    text_column: str | None = Field(None, description="Column with the text of the toy.")
    text_pair_column: str | None = Field(None, description="Column with a second text.")
    share_column: str | None = Field(None, description="Column with the share of the toy.")


class Share(TextTask):
    """Learn a share for a text."""

    name = "toy-share"
    label = "toy shares"
    summary = "Learn a share from 0 to 1 for a text."
    Options = ShareOptions
    peft_task_type = "SEQ_CLS"
    auto_class = "AutoModelForSequenceClassification"
    metrics = (Metric("toy_closeness", "toy closeness", is_share=True), LOSS)
    main_metric = "toy_closeness"
    best_metric = "toy_closeness"
    column_names = {"text": TEXT_NAMES, "share": ("share",)}  # noqa: RUF012
    telling_columns = frozenset({"share"})
    examples = ({"text": "Surely.", "share": 0.9}, {"text": "Who knows?", "share": 0.2})

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, facts: Mapping[str, Any]) -> None:
        pass

    def _share(self, row: Row) -> float:
        return float(row[self.columns["share"]])

    def model_arguments(self) -> dict[str, Any]:
        return {**super().model_arguments(), "num_labels": 1}

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        examples = self.inputs(rows, tokenizer, max_length)
        for row, example in zip(rows, examples, strict=True):
            example.update(targets=1, labels=self._share(row))
        return examples

    def loss(self, model: Any, batch: Batch, num_items: Any = None) -> Any:
        losses = self._losses(self.logits(model, batch)[:, 0], batch["labels"])
        return losses.sum() / (len(losses) if num_items is None else num_items)

    def _losses(self, logits: Any, labels: Any) -> Any:
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    def predict(
        self,
        model: Any,
        batches: Iterable[tuple[Sequence[Row], Batch]],
        tokenizer: Any,
        *,
        generate: bool = True,
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            logits = self.logits(model, batch)[:, 0]
            losses = self._losses(logits, batch["labels"]).tolist()
            for row, logit, loss in zip(rows, logits.tolist(), losses, strict=True):
                said, share = _sigmoid(logit), self._share(row)
                yield Prediction(
                    row=int(row.get("_row", 0)),
                    text=self.key(row),
                    expected=share,
                    predicted=said,
                    correct=round(said) == round(share),
                    loss=loss,
                    scores=(logit,),
                    points=1 - abs(said - share),
                )

    def score(self, predictions: Sequence[Prediction]) -> Score:
        rows = max(len(predictions), 1)
        metrics = {
            "toy_closeness": sum(p.earned for p in predictions) / rows,
            "loss": sum(p.loss or 0.0 for p in predictions) / rows,
        }
        return Score(metrics, self.main_metric)

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        mean = sum(map(self._share, train)) / max(len(train), 1)
        near = [1 - abs(mean - self._share(row)) for row in evaluation]
        value = sum(near) / max(len(near), 1)
        return {"name": f"always {mean:.2f}", "metric": self.main_metric, "value": value}

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        logits = self.asked_logits(model, examples, tokenizer)[:, 0].tolist()
        return [
            Answer(_sigmoid(logit), cut=example["cut"])
            for logit, example in zip(logits, examples, strict=True)
        ]

    def usage(self, place: ModelPlace) -> str:
        loading = place.loading("AutoModelForSequenceClassification", arguments=", num_labels=1")
        return f"{place.imports('AutoModelForSequenceClassification')}\n\n{loading}\nprint(model)"

    def usage_of_logits(self) -> str:
        return "print(1 / (1 + numpy.exp(-logits[0, 0])))"


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
