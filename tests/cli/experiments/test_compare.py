"""`tunesmith compare`: what a person reads, in wide and narrow terminals, and what a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.api.conftest import settings as settings
from tests.api.serving import Api, serving
from tests.api.test_compare import add, right

from tunesmith.cli.experiments.compare import compare
from tunesmith.errors import ConfigError, NotFoundError
from tunesmith.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", settings.store_url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, columns: int = 120) -> Result:
        return CliRunner(env={"COLUMNS": str(columns)}).invoke(compare, arguments)

    return call


@pytest.fixture
def three(settings: Settings) -> list[Any]:
    """Two on the same rows and one on others."""
    with serving(settings) as running:
        api: Api = running
        return [
            add(api, "first", right(60)),
            add(api, "second-with-a-long-name", right(90), lora={"r": 16, "dropout": 0.1}),
            add(api, "third", right(90), evaluation="sha256:other"),
        ]


def test_a_comparison_gives_verdicts_reasons_and_what_differs(run: Run, three: list[Any]) -> None:
    done = run("first", three[1].id, "third")
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "0.600 0.502 to 0.691" in text
    assert "+0.300 (" in text
    assert "Better than the first: 30 of 100 rows right that the first has wrong" in text
    assert "(mid-p McNemar, p < 0.001)" in text
    assert "different evaluation rows" in text
    assert "lora.r A C 8 B 16" in text
    assert "experiment_name" not in text


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_every_score_is_there(
    run: Run, three: list[Any], columns: int
) -> None:
    lines = run("first", three[1].id, "third", columns=columns).output.splitlines()
    assert max(map(len, lines)) <= columns
    assert len([line for line in lines if "0.600" in line or "0.900" in line]) == 3


def test_a_program_gets_what_the_api_gives(run: Run, three: list[Any]) -> None:
    found = json.loads(run("--json", "first", "third").output)
    assert found["pairs"][0]["obstacle"] == "other_rows"
    assert [line["name"] for line in found["experiments"]] == ["first", "third"]


def test_one_experiment_or_one_that_is_not_there_is_an_error(run: Run, three: list[Any]) -> None:
    assert isinstance(run("first").exception, ConfigError)
    assert "2 to 20 different experiments" in str(run("first").exception)
    assert "twice" in str(run("first", three[0].id).exception)
    assert isinstance(run("first", "frist-one").exception, NotFoundError)


@pytest.mark.parametrize(
    ("one", "other", "command"),
    [
        ("reviews@1", "reviews@2", "tunesmith data diff reviews@1 reviews@2"),
        ("reviews@1", "reviews@1", None),
        ("reviews@1", "letters@2", None),
        ("/data/me@home/reviews.csv", "/data/me@work/reviews.csv", None),
    ],
)
def test_two_versions_of_a_dataset_can_be_compared(
    run: Run, settings: Settings, one: str, other: str, command: str | None
) -> None:
    with serving(settings) as api:
        add(api, "first", right(60), dataset=one)
        add(api, "second", right(90), dataset=other)
    text = " ".join(run("first", "second").output.split())
    assert ("tunesmith data diff" in text) == (command is not None)
    assert command is None or command in text
