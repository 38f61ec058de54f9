"""`tunesmith analyze`: groups that mean the same, in a terminal, for a program, as a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.store.records import experiment, minutes

from tunesmith.cli.experiments.analyze import analyze
from tunesmith.errors import UserError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

Run = Callable[..., Result]


def trained(name: str, score: float, *, rank: int, rows: str = "one", **more: Any) -> Experiment:
    """An experiment that succeeded, with what it measured."""
    return experiment(
        name,
        status=ExperimentStatus.SUCCEEDED,
        config={"lora": {"r": rank}, "training": {"learning_rate": 2e-3}},
        data={"splits": {"evaluation": {"hash": f"sha256:{rows}"}}},
        metrics={
            "score": {"interval": {"low": score - 0.02, "high": score + 0.02}},
            "train_samples_per_second": 10.0 * rank,
            "peak_memory_bytes": 2e9,
        },
        score_name="accuracy",
        score=score,
        train_runtime=60.0 * rank,
        **more,
    )


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", settings.store_url)
    monkeypatch.chdir(tmp_path)
    with Store(settings.store_url) as store:
        for each in (
            trained("small", 0.70, rank=2, tags=("night",)),
            trained("small-again", 0.74, rank=2, created_at=minutes(1)),
            trained("large", 0.80, rank=8, tags=("night", "<b>day</b>")),
            trained("elsewhere", 0.99, rank=8, rows="other"),
            experiment("broken", status=ExperimentStatus.FAILED, config={"lora": {"r": 8}}),
        ):
            store.create(each)

    def call(*arguments: str, columns: int = 140) -> Result:
        return CliRunner(env={"COLUMNS": str(columns)}).invoke(analyze, arguments)

    return call


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.output)["lines"]
    return found


def test_scores_stand_together_only_where_metric_and_evaluation_rows_are_the_same(run: Run) -> None:
    large, small, other, broken = lines(run("--group-by", "rank", "--json"))
    assert (large["group"], large["best"]["name"], large["best"]["score"]) == (["8"], "large", 0.8)
    assert (small["group"], small["experiments"], small["best"]["name"]) == (
        ["2"],
        2,
        "small-again",
    )
    assert small["mean"] == pytest.approx(0.72)
    assert small["standard_deviation"] == pytest.approx(0.0283, abs=1e-4)
    assert (small["median_runtime"], small["total_runtime"]) == (120, 240)
    assert (small["median_speed"], small["peak_memory"]) == (20, 2e9)
    assert (other["group"], other["rows"], other["experiments"]) == (["8"], "sha256:other", 1)
    assert (broken["metric"], broken["failed"], broken["best"]) == (None, 1, None)


def test_several_fields_and_tags_make_groups_within_groups(run: Run) -> None:
    found = lines(run("--group-by", "tag", "--group-by", "lora.r", "--json", "--name", "a"))
    assert [(line["group"], line["experiments"]) for line in found] == [
        (["<b>day</b>", "8"], 1), (["night", "8"], 1), (["none", "2"], 1), (["night", "2"], 1),
    ]  # fmt: skip


def test_the_table_fits_a_narrow_terminal_and_says_how_sure_the_best_is(run: Run) -> None:
    text = run("--group-by", "learning_rate", columns=80).output
    assert "0.002" in text
    assert "0.780 to 0.820" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "2.00 GB" in run("--group-by", "learning_rate").output


def test_the_page_needs_nothing_else_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    done = run("--group-by", "tag", "--html", "report.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/", "")
    assert "&lt;b&gt;day&lt;/b&gt;" in page
    assert "<b>day</b>" not in page


def test_an_unknown_field_is_told_with_the_nearest(run: Run) -> None:
    done = run("--group-by", "learnig_rate")
    assert isinstance(done.exception, UserError)
    assert "did you mean learning_rate?" in str(done.exception)
    assert run("--group-by", "model", "--name", "nothing").output.startswith("No experiments.")
