"""`tunesmith worker --check`, which containers ask for their health."""

from __future__ import annotations

import platform
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tunesmith.cli.main import app
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store


def test_a_worker_is_well_while_this_machine_s_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(tmp_path / "results"))

    def check(*words: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, ["worker", "--check", *words], catch_exceptions=False)
        return ended.exit_code, ended.stdout

    def record(name: str, host: str, seconds: float) -> None:
        worker = Worker(
            name=name, host=host, pid=1, devices=("cpu",), queues=("cpu",), slots=1, version="1",
            seen_at=utc_now() - timedelta(seconds=seconds),
        )  # fmt: skip
        with Store(Settings.read().store_url) as store:
            store.queue.register(worker)

    record("elsewhere", "another-machine", 0)
    assert check() == (1, f"{platform.node()}: no worker is recorded\n")
    record("here", platform.node(), 300)
    assert check() == (1, "here: last heartbeat 300 s ago\n")
    record("here", platform.node(), 2)
    assert check()[0] == 0
    assert check("--name", "elsewhere")[0] == 0
    assert check("--name", "nobody")[0] == 1
