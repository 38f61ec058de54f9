"""What a worker says of its machine and its devices."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tunesmith.jobs.workers.usage import UsageMeter, parse_gpus

UNKNOWN = {"memory_used": None, "memory_total": None, "utilization": None}


def test_the_machine_and_its_processor_are_measured(tmp_path: Path) -> None:
    usage = UsageMeter(("cpu",), tmp_path).measure()
    assert 0 <= usage["cpu_percent"] <= 100
    assert 0 < usage["memory_used"] < usage["memory_total"] == psutil.virtual_memory().total
    assert 0 <= usage["disk_free"] <= usage["disk_total"]
    (device,) = usage["devices"]
    assert (device["name"], device["kind"]) == ("cpu", "cpu")
    assert device["utilization"] == usage["cpu_percent"]


def test_what_can_not_be_found_out_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    usage = UsageMeter(("mps", "cuda:0"), tmp_path / "not made yet").measure()
    assert (usage["disk_free"], usage["disk_total"]) == (None, None)
    assert usage["devices"] == [
        {"name": "mps", "kind": "mps", **UNKNOWN},
        {"name": "cuda:0", "kind": "cuda", **UNKNOWN},
    ]


# There is no GPU where these tests usually run: a program of that name answers as the driver does.
def test_gpus_are_known_by_number_and_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    command = tmp_path / "nvidia-smi"
    command.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n'
        "echo '0, GPU-aa, NVIDIA H100 80GB HBM3, 1024, 81559, 37'\n"
        "echo '1, GPU-bb, NVIDIA A100, [N/A], [N/A], [N/A]'\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter = UsageMeter(("cuda:0", "cuda:GPU-aa", "cuda:GPU-bb", "cuda:MIG-cc"), tmp_path)
    meter.measure()
    first, same, other, part = meter.measure()["devices"]
    assert first == {
        "name": "cuda:0", "kind": "NVIDIA H100 80GB HBM3", "memory_used": 1024 << 20,
        "memory_total": 81559 << 20, "utilization": 37.0,
    }  # fmt: skip
    assert same == {**first, "name": "cuda:GPU-aa"}
    assert other == {"name": "cuda:GPU-bb", "kind": "NVIDIA A100", **UNKNOWN}
    assert part == {"name": "cuda:MIG-cc", "kind": "cuda", **UNKNOWN}
    assert len(asked.read_text().splitlines()) == 1, "not at each heartbeat"


def test_a_driver_that_fails_costs_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nexit 9\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (device,) = UsageMeter(("cuda:0",), tmp_path).measure()["devices"]
    assert device == {"name": "cuda:0", "kind": "cuda", **UNKNOWN}
    assert parse_gpus("No devices were found\n") == {}
