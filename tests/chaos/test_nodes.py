"""Two nodes that share servers and no folder train one experiment, started by torchrun itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tests.chaos.cluster import PATIENCE, free_port, wait_for
from tests.chaos.production import KEYS
from tests.servers.s3_server import call, s3_server

from tunesmith.files.copies import Copies
from tunesmith.files.layout import LAST_OF_CHECKPOINT
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

S = ExperimentStatus

NAMES = ("node-a", "node-b")


class TwoNodes:
    """A database and a bucket; nodes with a folder of their own, each with one process."""

    def __init__(self, folder: Path, url: str, bucket: str) -> None:
        self.folder = folder
        self.store = Store(url)
        self._started: list[subprocess.Popen[bytes]] = []
        self._shared = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "TUNESMITH_DATABASE_URL": url,
            "TUNESMITH_DATASETS": f"{bucket}/datasets",
            "TUNESMITH_ARTIFACTS": f"{bucket}/artifacts",
            "OMP_NUM_THREADS": "1",
            **{n: v for n, v in os.environ.items() if n.startswith("AWS_")},
        }
        for name in NAMES:
            (folder / name).mkdir()

    def ask(self, asked: dict[str, Any]) -> None:
        """Leave `asked` as experiment.yaml on both nodes, and for one machine alone."""
        for home in (self.folder, *(self.folder / name for name in NAMES)):
            (home / "experiment.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")

    def start(self, *arguments: str) -> list[subprocess.Popen[bytes]]:
        """torchrun on both nodes, with `tunesmith train ARGUMENTS`."""
        port = str(free_port())
        started = []
        for rank, name in enumerate(NAMES):
            home = self.folder / name
            with (self.folder / f"{name}.txt").open("ab") as output:
                started.append(
                    subprocess.Popen(
                        [
                            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
                            "--nproc-per-node", "1", "--node-rank", str(rank), "--master-addr",
                            "127.0.0.1", "--master-port", port, "-m", "tunesmith.cli", "train",
                            *arguments,
                        ],
                        cwd=home,
                        env={**self._shared, "HOME": str(home)},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )  # fmt: skip
        self._started += started
        return started

    def alone(self, *arguments: str) -> None:
        """`tunesmith train ARGUMENTS` on one machine."""
        subprocess.run(
            [sys.executable, "-m", "tunesmith.cli", "train", *arguments],
            cwd=self.folder,
            env={**self._shared, "HOME": str(self.folder)},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End what still runs: torchrun, and below it what trains."""
        for node in self._started:
            if node.poll() is None:
                node.terminate()
                node.wait()
        self.store.close()

    def forget(self) -> None:
        """Let both nodes come back with empty disks."""
        for name in NAMES:
            for made in sorted((self.folder / name).rglob("*"), reverse=True):
                if made.name != "experiment.yaml":
                    made.rmdir() if made.is_dir() else made.unlink()

    def said(self) -> str:
        return "".join((self.folder / f"{name}.txt").read_text() for name in NAMES)

    def adapter(self, experiment: Experiment) -> bytes:
        """The trained weights, as the bucket has them."""
        copies = Copies(self._shared["TUNESMITH_ARTIFACTS"])
        path = "artifacts/final_model/adapter_model.safetensors"
        return b"".join(copies.read(Path(str(experiment.directory)).name, path))

    def copied_checkpoint(self) -> bool:
        """Whether the newest experiment has left a whole checkpoint in the bucket."""
        newest = self.store.list()[:1]
        copies = Copies(self._shared["TUNESMITH_ARTIFACTS"])
        return any(
            path.endswith(LAST_OF_CHECKPOINT)
            for one in newest
            for path in copies.files(Path(str(one.directory)).name)
        )


@pytest.fixture
def nodes(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    with s3_server() as server:
        addresses = {
            "AWS_ENDPOINT_URL": server,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }
        for name, value in {**addresses, **KEYS}.items():
            monkeypatch.setenv(name, value)
        call("PUT", f"{server}/bucket")
        made = TwoNodes(tmp_path, postgres_url, "s3://bucket")
        try:
            yield made
        finally:
            made.close()


def end(started: list[subprocess.Popen[bytes]]) -> list[int]:
    """The exit codes of both nodes, once they have ended."""
    return [each.wait(timeout=PATIENCE) for each in started]


def training_of(node: subprocess.Popen[bytes]) -> psutil.Process:
    """The process that trains, below torchrun."""
    (found,) = [c for c in psutil.Process(node.pid).children() if "train" in c.cmdline()]
    return found


def test_a_lost_node_ends_the_training_with_a_word_and_both_go_on_from_the_bucket(
    nodes: TwoNodes, classification: dict[str, Any]
) -> None:
    training = {
        **classification["training"], "processes": 2, "per_device_train_batch_size": 4,
        "num_train_epochs": 16, "eval_strategy": "no", "save_strategy": "steps", "save_steps": 50,
        "logging_steps": 50,
    }  # fmt: skip
    nodes.ask({**classification, "training": training})  # with dropout, in adapter and head
    nodes.alone("--config", "experiment.yaml")

    started = nodes.start("--config", "experiment.yaml")
    wait_for(nodes.copied_checkpoint, "a checkpoint in the bucket", nodes.said)
    training_of(started[1]).send_signal(signal.SIGKILL)
    assert all(end(started)), nodes.said()
    lost, single = nodes.store.list()
    assert lost.status is S.FAILED, nodes.said()
    assert "training process 2 of 2 (pid" in str(lost.reason)
    assert "has no heartbeat any more" in str(lost.reason)
    assert f"train --resume {lost.id}" in nodes.said()

    nodes.forget()
    assert end(nodes.start("--resume", lost.id)) == [0, 0], nodes.said()
    resumed, single = nodes.store.list()
    assert resumed.status is S.SUCCEEDED
    assert nodes.adapter(resumed) == nodes.adapter(single)


def test_a_node_that_falls_silent_ends_the_training_though_no_connection_breaks(
    nodes: TwoNodes, classification: dict[str, Any]
) -> None:
    training = {**classification["training"], "processes": 2, "num_train_epochs": 200}
    nodes.ask({**classification, "training": training})
    first, second = nodes.start("--config", "experiment.yaml")
    wait_for(lambda: any(e.progress for e in nodes.store.list()), "a step", nodes.said)
    silent = training_of(second)
    silent.send_signal(signal.SIGSTOP)  # as when its node loses power
    try:
        assert first.wait(timeout=PATIENCE) != 0
    finally:
        silent.send_signal(signal.SIGKILL)
    (lost,) = nodes.store.list()
    assert lost.status is S.FAILED, nodes.said()
    assert "training process 2 of 2 (pid" in str(lost.reason)


def test_a_node_that_is_told_to_end_lets_all_save_a_checkpoint(
    nodes: TwoNodes, classification: dict[str, Any]
) -> None:
    training = {**classification["training"], "processes": 2, "num_train_epochs": 200}
    nodes.ask({**classification, "training": {**training, "save_strategy": "no"}})
    started = nodes.start("--config", "experiment.yaml")
    wait_for(lambda: any(e.progress for e in nodes.store.list()), "a step", nodes.said)
    started[1].terminate()  # torchrun passes it on
    assert all(end(started)), nodes.said()
    (stopped,) = nodes.store.list()
    assert stopped.status is S.CANCELLED, nodes.said()
    assert "stopped at step" in str(stopped.reason)
    assert nodes.copied_checkpoint()
