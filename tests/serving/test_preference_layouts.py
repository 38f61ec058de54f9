"""Pairs and marked answers in the layouts of others: checked, imported, trained on and asked."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving.conftest import train

from tunesmith.experiments import TrainedExperiment
from tunesmith.experiments.datasets.importing import check_data, import_data, inquire
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.store.store import Store

ROWS = 40


def hh(asked: str, right: str, wrong: str) -> dict[str, Any]:
    begin = f"\n\nHuman: {asked}\n\nAssistant:"
    return {"chosen": f"{begin} {right}", "rejected": f"{begin} {wrong}"}


def openai(asked: str, right: str, wrong: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": asked}]
    answers = ([{"role": "assistant", "content": said}] for said in (right, wrong))
    better, worse = answers
    return {
        "input": {"messages": turns}, "preferred_output": better, "non_preferred_output": worse
    }  # fmt: skip


def rated(asked: str, right: str, wrong: str) -> dict[str, Any]:
    graded = [{"response": said, "rating": len(said) + 9 * (said == right)}
              for said in (wrong, right)]  # fmt: skip
    return {"instruction": asked, "completions": graded}


def kto(asked: str, right: str, wrong: str) -> dict[str, Any]:
    good = len(asked) % 4 > 0
    return {"prompt": asked, "completion": right if good else wrong, "label": good}


@pytest.mark.parametrize(
    ("layout", "write", "task"),
    [
        ("implicit-prompt", hh, "dpo"),
        ("openai-preferences", openai, "dpo"),
        ("rated-answers", rated, "dpo"),
        ("kto", kto, "sft"),
    ],
)
def test_a_layout_goes_all_the_way(
    layout: str,
    write: Callable[[str, str, str], dict[str, Any]],
    task: str,
    tiny_chat: Path,
    reviews: Path,
    trained_settings: Settings,
    store: Store,
    tmp_path: Path,
) -> None:
    file = tmp_path / f"{layout}.jsonl"
    with reviews.open(encoding="utf-8") as stream:
        given = [row for _, row in zip(range(ROWS), csv.DictReader(stream), strict=False)]
    other = {"good": "bad", "bad": "good"}
    rows = [write(row["review"], row["verdict"], other[row["verdict"]]) for row in given]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    inquiry = inquire(str(file), None, [f"task={task}"], trained_settings)
    assert check_data(inquiry).layout == layout
    version, new = import_data(inquiry, layout, "", trained_settings, store)
    assert new
    found = train(
        {
            "experiment_name": layout,
            "task": {"name": task},
            "model": {"name": str(tiny_chat)},
            "lora": {"r": 2},
            "data": {"dataset_name": version.reference, "eval_samples": 8, "max_length": 48},
            "training": {"max_steps": 2, "logging_steps": 5, "device": "cpu"},
        },
        trained_settings,
    )
    adapter = locate_adapter(found.record, trained_settings)
    predictor = Predictor(trained_settings, device="cpu")
    asked = [
        given[0]["review"],
        rows[0],
        {"messages": [{"role": "user", "content": given[0]["review"]}]},
    ]
    answers = [one.answer for one in predictor.answer(adapter, asked, max_new_tokens=3).answers]
    assert len({*answers}) == 1


def test_a_question_is_mended_as_the_texts_were_in_training(
    classifier: TrainedExperiment, trained_settings: Settings
) -> None:
    adapter = locate_adapter(classifier.record, trained_settings)
    assert {*adapter.read_mended()} == {"broken_encoding", "control_characters", "html"}
    plain = "a superb film with a lovely plot"
    marked = "<p>a <b>superb</b> film with a\u200b lovely plot</p>"
    predictor = Predictor(trained_settings, device="cpu")
    first, second = predictor.answer(adapter, [plain, marked]).answers
    assert first.probabilities == second.probabilities
    assert predictor.fault_of(adapter, marked) is None
    card = (adapter.folder / "README.md").read_text(encoding="utf-8")
    assert "Texts were learned as the rules" in card
