"""Rows of groups, from the configuration to the score's interval, the comparison and its words."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.cli.console.summary import print_summary
from tunesmith.cli.console.terminal import Terminal
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.settings import Settings
from tunesmith.statistics.comparison import GROUP_TEST
from tunesmith.store.store import Store


def test_the_score_and_the_comparison_count_groups(
    classification: dict[str, Any], reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    header, *rows = csv.reader(reviews.read_text(encoding="utf-8").splitlines())
    with (tmp_path / "by.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [[*header, "author"], *([*row, f"a{n // 6}"] for n, row in enumerate(rows))]
        )
    data = {
        **classification["data"],
        "dataset_name": str(tmp_path / "by.csv"),
        "group_column": "author",
    }
    trained = []
    for rate in (3e-3, 1e-5):
        training = {**classification["training"], "num_train_epochs": 2, "learning_rate": rate}
        asked = {**classification, "data": data, "training": training}
        trained.append(tunesmith.train(asked, settings=settings))
    first = trained[0]
    lines = (first.path / "artifacts/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    groups = {json.loads(line)["group"] for line in lines}
    assert all(group.startswith("a") for group in groups)
    interval = first.metrics["score"]["interval"]
    assert (interval["rows"], interval["groups"]) == (len(lines), len(groups))
    assert f"held-out rows of {len(groups)} groups" in (first.adapter / "README.md").read_text(
        encoding="utf-8"
    )
    shown = Terminal(file=StringIO(), width=100)
    print_summary(shown, first.record)
    assert f"{len(lines)} held-out rows of {len(groups)} groups" in shown.file.getvalue()  # type: ignore[attr-defined]
    found = compare_experiments([store.get(one.id) for one in trained], settings, 0)
    assert found.pairs[0].test == GROUP_TEST
    assert found.experiments[0].interval is not None
    assert found.experiments[0].interval.groups == len(groups)
