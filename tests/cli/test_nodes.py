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
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.store import Store


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
        self._patch = patch

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
        with self._patch.context() as patch:
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


def test_two_nodes_train_one_experiment_that_the_first_one_records(nodes: Nodes) -> None:
    with nodes.second("--config", "experiment.yaml") as second:
        ended = nodes.first("--config", "experiment.yaml")
        said, _ = second.communicate(timeout=120)
    assert ended.exit_code == 0, (ended.output, ended.exception, said)
    assert second.returncode == 0, said
    assert not (nodes.homes[1] / "results").exists()  # it alone speaks to the store and writes
    with nodes._patch.context() as patch:
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
