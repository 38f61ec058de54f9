"""`tunesmith train` as torchrun starts it: one experiment over nodes that share no folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tests.chaos.cluster import free_port

from tunesmith.cli.main import app
from tunesmith.errors import ConfigError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.ranks.place import Place


class Nodes:
    """Two nodes, each with a folder of its own; this process is the first one's."""

    def __init__(self, folder: Path, asked: Mapping[str, Any], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.homes = [folder / "node-a", folder / "node-b"]
        for home in self.homes:
            home.mkdir()
            text = yaml.safe_dump(dict(asked))
            (home / "experiment.yaml").write_text(text, encoding="utf-8")
        self._port = free_port()
        self.patch = patch

    def environment(self, rank: int) -> dict[str, str]:
        """What torchrun gives to a process, and what an operator sets for its node."""
        return {
            "RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self._port),
            "TUNESMITH_RESULTS_DIR": str(self.homes[rank] / "results"),
            "TUNESMITH_CACHE_DIR": str(self.homes[rank] / "cache"),
        }  # fmt: skip

    @contextmanager
    def second(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The second node's process, told `tunesmith train ARGUMENTS`."""
        with subprocess.Popen(
            [sys.executable, "-m", "tunesmith.cli", "train", *arguments],
            cwd=self.homes[1],
            env={**os.environ, **self.environment(1), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def first(self, *arguments: str) -> Result:
        """What becomes of `tunesmith train ARGUMENTS` on the first node."""
        with self.patch.context() as patch:
            patch.chdir(self.homes[0])
            for name, value in self.environment(0).items():
                patch.setenv(name, value)
            return CliRunner().invoke(app, ["train", *arguments])

    def experiments(self, node: int = 0) -> list[Experiment]:
        """What is recorded in the node's own store."""
        with Store(f"sqlite:///{self.homes[node]}/results/experiments.db") as store:
            return store.list()


@pytest.fixture
def nodes(tmp_path: Path, chat: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Nodes:
    training = {
        **chat["training"], "processes": 2, "per_device_train_batch_size": 4,
        "precision": "float32", "save_strategy": "epoch",
    }  # fmt: skip
    asked = {**chat, "lora": {"r": 4, "lora_dropout": 0.0}, "training": training}
    return Nodes(tmp_path, asked, monkeypatch)


def adapter(experiment: Experiment) -> dict[str, torch.Tensor]:
    return load_file(
        Path(str(experiment.directory)) / "artifacts/final_model/adapter_model.safetensors"
    )


@pytest.mark.slow
def test_two_nodes_train_one_experiment_that_the_first_one_records(nodes: Nodes) -> None:
    with nodes.second("--config", "experiment.yaml") as second:
        ended = nodes.first("--config", "experiment.yaml")
        said, _ = second.communicate(timeout=120)
    assert ended.exit_code == 0, (ended.output, ended.exception, said)
    assert second.returncode == 0, said
    assert not (nodes.homes[1] / "results").exists()  # it alone speaks to the store and writes
    with nodes.patch.context() as patch:
        patch.chdir(nodes.homes[0])
        alone = CliRunner().invoke(
            app,
            ["train", "--config", "experiment.yaml", "training.processes=1", "--batch_size", "8"],
        )
    assert alone.exit_code == 0, (alone.output, alone.exception)
    single, together = nodes.experiments()
    assert together.status is ExperimentStatus.SUCCEEDED
    learned, wanted = adapter(together), adapter(single)
    for name, weight in wanted.items():
        assert torch.allclose(learned[name], weight, atol=1e-4), name


def test_a_node_with_other_data_or_settings_trains_nothing_and_all_say_why(
    nodes: Nodes, reviews: Path
) -> None:
    rows = reviews.read_text(encoding="utf-8")
    for home, text in zip(nodes.homes, (rows, f"{rows}a lovely scene,good\n"), strict=True):
        (home / "reviews.csv").write_text(text, encoding="utf-8")
    asked = ("--config", "experiment.yaml", "data.dataset_name=reviews.csv")
    with nodes.second(*asked, "--learning_rate", "0.5") as second:
        ended = nodes.first(*asked)
        said, _ = second.communicate(timeout=120)
    assert second.returncode == 2, said
    assert "training.learning_rate: training process 1 of 2 (pid" in said
    assert "has 0.01; got 0.5" in said
    assert "data.dataset_name: the rows here are not those of training process 1 of 2" in said
    assert isinstance(ended.exception, ConfigError), ended.output
    assert "training process 2 of 2 (pid" in str(ended.exception)
    assert "has 0.01; got 0.5" in str(ended.exception)
    (refused,) = nodes.experiments()
    assert refused.status is ExperimentStatus.FAILED
    assert not list(Path(str(refused.directory)).glob("checkpoints/*"))


def test_as_many_processes_as_torchrun_started_must_be_asked_for(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "of_torchrun", lambda: Place(0, 4, 0, 1))
    ended = nodes.first("--config", "experiment.yaml")
    assert "training.processes: torchrun started 4 processes; got 2; accepted: 4" in str(
        ended.exception
    )
    assert not nodes.experiments()
