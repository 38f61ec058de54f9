"""What each task is tried with by `test_contract.py`: one function a task.

The function's name is the task's, with underscores for hyphens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tunesmith.tasks.base import Columns, Row, Task
from tunesmith.tasks.results import Prediction

AnyTask = TypeVar("AnyTask", bound=Task)


def bound(task: AnyTask, columns: Columns) -> AnyTask:
    """`task`, bound to `columns`."""
    task.bind(columns)
    return task


def all_right(prediction: Prediction, *, right: bool = True) -> Prediction:
    """`prediction` as a model without a fault makes it; else as one that is wrong throughout."""
    said = prediction.expected
    if not right:
        said = said + 9.0 if isinstance(said, float) else [] if isinstance(said, list) else "other"
    earned = None if prediction.points is None else prediction.weight * right
    return replace(
        prediction,
        predicted=said,
        correct=right,
        loss=0.01 if right else 3.0,
        tokens_correct=prediction.tokens * right,
        points=earned,
    )


@dataclass(frozen=True)
class Sample:
    """Options and rows that a task can learn from, and a model that it can teach."""

    model: str
    """Fixture of `tests/conftest.py`: the folder of a tiny model."""
    columns: dict[str, list[Any]]
    """Column name → its values; their words are those of the tiny models."""
    options: dict[str, Any] = field(default_factory=dict)
    question: Callable[[Row], Any] | None = None
    """What an adapter is asked of a row; None: its text columns, by name."""
    answers_as_predicted: bool = True
    """Whether the answer to a row's question is what is predicted for the row."""
    predicted: Callable[[Any], Any] = lambda answer: answer
    """The part of an answer that a prediction has."""
    as_if: Callable[..., Prediction] = all_right
    """A prediction with everything about it right, or with `right=False` everything wrong."""

    @property
    def rows(self) -> list[Row]:
        count = len(next(iter(self.columns.values())))
        return [
            {"_row": n + 1, **{name: values[n] for name, values in self.columns.items()}}
            for n in range(count)
        ]


TEXTS = [
    "a good film", "the plot was very dull", "great", "not a bad story but rather poor in it",
    "superb scene ?", "awful .", "fine movie", "dreadful actor",
]  # fmt: skip
VERDICTS = ["good", "bad", "good", "bad", "good", "bad", "good", "bad"]


def samples_of(name: str) -> list[Sample]:
    """The samples of the task `name`; none where nobody wrote them."""
    samples = globals().get(name.replace("-", "_"))
    return [] if samples is None else list(samples())


def text_classification() -> list[Sample]:
    return [
        Sample("tiny_distilbert", {"text": TEXTS, "label": VERDICTS}),
        Sample(
            "tiny_distilbert",
            {"text": TEXTS, "label": [1, 2, 3, 1, 2, 3, 1, 1]},
            {"class_weights": "balanced"},
        ),
        Sample(
            "tiny_distilbert",
            {"text": TEXTS, "label": ["a,b", "", "a", "b", "b", "a", "a", "b,a"]},
            {"multi_label": True},
        ),
        Sample(
            "tiny_distilbert",
            {"one": TEXTS, "two": TEXTS[::-1], "label": VERDICTS},
            {"text_column": "one", "text_pair_column": "two"},
        ),
        Sample("tiny_chat", {"text": TEXTS, "label": VERDICTS}),
    ]


def regression() -> list[Sample]:
    return [
        Sample("tiny_distilbert", {"text": TEXTS, "score": [4.5, 1, 5, 2.5, 4, 1, 3.5, 0.5]}),
        Sample(
            "tiny_chat",
            {
                "one": TEXTS,
                "two": TEXTS[::-1],
                "alike": list("01732094"),
            },
            {"text_column": "one", "text_pair_column": "two", "target_column": "alike"},
        ),
    ]


TAGS = [
    ["O", "O", "B-WORK"], ["O", "B-PART", "O", "O", "B-VIEW"], ["B-VIEW"],
    ["O", "O", "B-VIEW", "B-WORK", "O", "O", "B-VIEW", "O", "O"], ["B-VIEW", "B-WORK", "I-WORK"],
    ["B-VIEW", "O"], ["O", "B-WORK"], ["B-VIEW", "B-PART"],
]  # fmt: skip


def _unscored(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: one[name] for name in ("label", "text", "start", "end")} for one in entities]


def token_classification() -> list[Sample]:
    words = [text.split() for text in TEXTS]
    spans = [
        [{"start": text.find(text.split()[-1]), "end": len(text), "label": "LAST"}]
        for text in TEXTS
    ]
    return [
        Sample("tiny_distilbert", {"tokens": words, "ner_tags": TAGS}, predicted=_unscored),
        Sample("tiny_chat", {"text": TEXTS, "spans": spans}, predicted=_unscored),
    ]


def sft() -> list[Sample]:
    return [
        Sample("tiny_chat", {"prompt": TEXTS, "completion": VERDICTS}),
        Sample(
            "tiny_chat",
            {"review": TEXTS, "verdict": VERDICTS},
            {
                "prompt_template": "{review} fresh or rotten ?",
                "completion_column": "verdict",
                "system_prompt": "answer in one word",
                "max_new_tokens": 3,
            },
        ),
        Sample(
            "tiny_chat",
            {
                "messages": [
                    [{"role": "user", "content": t}, {"role": "assistant", "content": v}]
                    for t, v in zip(TEXTS, VERDICTS, strict=True)
                ]
            },
            question=lambda row: {"messages": row["messages"][:-1]},
        ),
    ]


def _preferred(prediction: Prediction, *, right: bool = True) -> Prediction:
    chosen = 2.0 if right else -2.0
    rewarded = (*prediction.scores[:2], chosen, -chosen)
    return replace(all_right(prediction, right=right), scores=rewarded)


def dpo() -> list[Sample]:
    others = [*VERDICTS[1:], "good"]
    return [
        Sample(
            "tiny_chat",
            {"prompt": TEXTS, "chosen": VERDICTS, "rejected": others},
            answers_as_predicted=False,
            as_if=_preferred,
        ),
        Sample(
            "tiny_chat",
            {"review": TEXTS, "verdict": VERDICTS, "other": others},
            {
                "prompt_template": "{review} fresh or rotten ?",
                "chosen_column": "verdict",
                "rejected_column": "other",
                "system_prompt": "answer in one word",
                "loss_type": "ipo",
            },
            answers_as_predicted=False,
            as_if=_preferred,
        ),
        Sample(
            "tiny_chat",
            {
                side: [
                    [{"role": "user", "content": t}, {"role": "assistant", "content": v}]
                    for t, v in zip(TEXTS, verdicts, strict=True)
                ]
                for side, verdicts in (("chosen", VERDICTS), ("rejected", others))
            },
            {"label_smoothing": 0.1},
            question=lambda row: {"messages": row["chosen"][:-1]},
            answers_as_predicted=False,
            as_if=_preferred,
        ),
    ]
