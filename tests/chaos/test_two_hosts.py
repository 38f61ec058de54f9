"""Two workers on two hosts serve one queue: one PostgreSQL, one S3 bucket, no shared files."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.cluster import Cluster, on, wait_for
from tests.servers.s3_server import call, s3_server

from tunesmith.experiments.datasets.importing import import_data, inquire
from tunesmith.files.copies import Copies
from tunesmith.files.layout import LAST_OF_CHECKPOINT
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment

S = ExperimentStatus


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server() as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNNTESTING",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        call("PUT", f"{server}/bucket")
        yield "s3://bucket"


@pytest.fixture
def hosts(cluster: Cluster, bucket: str) -> Cluster:
    """The cluster with its data and artifacts in the bucket; its own folder is the API's host."""
    shared = {"datasets": f"{bucket}/datasets", "artifacts": f"{bucket}/artifacts"}
    cluster.settings = cluster.settings.model_copy(update=shared)
    asked: dict[str, Any] = dict(cluster.asked)
    inquiry = inquire(asked["data"]["dataset_name"], None, [], cluster.settings)
    import_data(inquiry, "reviews", "", cluster.settings, cluster.store)
    cluster.asked = {**asked, "data": {**asked["data"], "dataset_name": "reviews@1"}}
    return cluster


def start_host(cluster: Cluster, name: str) -> Path:
    """A worker with a folder of its own."""
    folder = cluster.folder / name
    cluster.start_worker(
        name,
        TUNESMITH_RESULTS_DIR=str(folder),
        TUNESMITH_DATASETS=str(cluster.settings.datasets),
        TUNESMITH_ARTIFACTS=str(cluster.settings.artifacts),
    )
    return folder


def adapter(experiment: Experiment, cluster: Cluster) -> bytes:
    """The trained weights, as the object store has them."""
    copies = Copies(str(cluster.settings.artifacts))
    name = Path(str(experiment.directory)).name
    return b"".join(copies.read(name, "artifacts/final_model/adapter_model.safetensors"))


@on("postgresql")
def test_two_hosts_share_a_queue_and_leave_their_results_in_the_object_store(
    hosts: Cluster,
) -> None:
    folders = {name: start_host(hosts, name) for name in ("host-a", "host-b")}
    for _ in range(3):
        hosts.submit()
    ended = hosts.wait_for_all()
    assert {e.status for e in ended} == {S.SUCCEEDED}, hosts.said()
    assert {e.worker for e in ended} == set(folders)
    assert len({adapter(e, hosts) for e in ended}) == 1  # one seed, one result, on every host
    for experiment in ended:
        assert Path(str(experiment.directory)).parent == folders[str(experiment.worker)]


@on("postgresql")
def test_what_a_lost_host_had_begun_goes_on_elsewhere_from_the_checkpoint_it_had_copied(
    hosts: Cluster,
) -> None:
    whole = hosts.submit()
    first = start_host(hosts, "host-a")
    (expected,) = hosts.wait_for_all()
    experiment = hosts.submit()
    copies = Copies(str(hosts.settings.artifacts))
    name = Path(str(experiment.directory)).name

    def copied() -> bool:
        return any(path.endswith(LAST_OF_CHECKPOINT) for path in copies.files(name))

    wait_for(copied, "a checkpoint in the object store", hosts.said)
    os.kill(int(str(hosts.store.get(experiment.id).pid)), signal.SIGSTOP)  # as when power fails
    pid = int(str(hosts.store.get(experiment.id).pid))
    hosts.kill("host-a")
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(first)
    second = start_host(hosts, "host-b")
    (_, ended) = hosts.wait_for_all()
    assert ended.status is S.SUCCEEDED, ended.reason
    assert ended.restarts == 1
    assert Path(str(ended.directory)).parent == second
    assert ended.metrics["train_loss"] == pytest.approx(expected.metrics["train_loss"], rel=1e-6)
    assert adapter(ended, hosts) == adapter(expected, hosts)
    log = (second / name / "logs.txt").read_text()
    assert "resuming from checkpoint-" in log
    assert whole.id == expected.id
