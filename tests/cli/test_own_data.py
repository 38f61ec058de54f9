"""`tunesmith train FILE`: a configuration is chosen for data of somebody's own, and said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Here

from tunesmith.experiments.datasets.proposal import ENCODER, propose
from tunesmith.settings import Settings


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """Messages, and the team that each is for."""
    teams = {"billing": "the invoice", "support": "the login", "sales": "an offer"}
    rows = [
        f"please look at {about} of customer {n},{team}"
        for n in range(100)
        for team, about in teams.items()
    ]
    path = tmp_path / "tickets.csv"
    path.write_text("message,team\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_what_is_chosen_for_a_file_is_shown_and_what_is_given_wins(
    here: Here, tickets: Path
) -> None:
    done = here("config", "show", "tickets.csv", "--epochs", "4", "lora.r=16")
    assert done.returncode == 0, done.stderr
    assert "300 rows; task text-classification, text: message, label: team" in done.stderr
    chosen = yaml.safe_load(done.stdout)
    assert (chosen["experiment_name"], chosen["model"]["name"]) == ("tickets", ENCODER)
    assert chosen["training"]["num_train_epochs"] == 4
    assert chosen["training"]["load_best_model_at_end"]
    assert (chosen["lora"]["r"], chosen["data"]["max_length"]) == (16, 32)


def test_the_same_file_gives_the_same_choice(tickets: Path, settings: Settings) -> None:
    first, again = (propose(str(tickets), [], settings) for _ in range(2))
    assert first == again
    assert first.config["training"]["num_train_epochs"] == 16  # 300 steps of 16 rows


def test_a_configuration_may_be_named_without_its_flag(here: Here, tickets: Path) -> None:
    tickets.with_name("mine.yaml").write_text("experiment_name: mine\nmodel: {nme: x}\n")
    done = here("config", "validate", "mine.yaml")
    assert done.returncode == 2
    assert "mine.yaml" in done.stderr
    assert "did you mean name?" in done.stderr


def test_one_thing_at_a_time_and_nothing_at_all_are_refused(here: Here, tickets: Path) -> None:
    assert "only one at a time" in here("train", "tickets.csv", "other.csv").stderr
    done = here("train")
    assert done.returncode == 2
    assert "name your data (tickets.csv" in done.stderr
