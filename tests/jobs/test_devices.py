"""Devices are found without torch, and shared out among the experiments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.errors import DeviceError
from tunesmith.jobs.devices import (
    Driver,
    Slot,
    check_devices,
    detect_devices,
    make_slots,
    parse_devices,
)
from tunesmith.training.plan import choose_device

LISTING = """\
GPU 0: NVIDIA H200 (UUID: GPU-0a)
  MIG 1g.18gb     Device  0: (UUID: MIG-1b)
  MIG 1g.18gb     Device  1: (UUID: MIG-2c)
GPU 1: NVIDIA H200 (UUID: GPU-3d)
"""


def test_a_divided_gpu_stands_for_its_parts() -> None:
    assert Driver.parse(LISTING).devices == ("MIG-1b", "MIG-2c", "1")
    assert Driver.parse("No devices found.\n") == Driver()


def test_each_device_is_a_slot_that_sees_that_device_alone() -> None:
    slots = make_slots(("cuda:0", "cuda:1"), ("gpu", "cpu"), None)
    seen = [slot.environment({"CUDA_VISIBLE_DEVICES": "0,1"}) for slot in slots]
    assert [values["CUDA_VISIBLE_DEVICES"] for values in seen] == ["0", "1"]
    assert {slot.queues for slot in slots} == {("gpu", "cpu")}
    assert all("OMP_NUM_THREADS" not in values for values in seen)


def test_fewer_slots_than_devices_see_several_and_more_share_them() -> None:
    devices = ("cuda:0", "cuda:1", "cuda:2")
    assert [slot.devices for slot in make_slots(devices, ("gpu",), 2)] == [
        ("cuda:0", "cuda:2"),
        ("cuda:1",),
    ]
    assert [slot.devices for slot in make_slots(("cuda:0",), ("gpu",), 2)] == [("cuda:0",)] * 2


def test_a_slot_on_the_cpu_hides_gpus_and_takes_nothing_from_their_queue() -> None:
    gpu, cpu = make_slots(("cuda:0", "cpu"), ("gpu", "cpu"), None)
    assert cpu.queues == ("cpu",)
    assert gpu.queues == ("gpu", "cpu")
    assert cpu.environment({"CUDA_VISIBLE_DEVICES": "0"})["CUDA_VISIBLE_DEVICES"] == ""


def test_several_slots_on_the_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.jobs.devices.usable_cores", lambda: 8)
    (one,) = make_slots(("cpu",), ("cpu",), None)
    assert "OMP_NUM_THREADS" not in one.environment({})
    three = make_slots(("cpu",), ("cpu",), 3)
    assert [slot.environment({})["OMP_NUM_THREADS"] for slot in three] == ["2", "2", "2"]
    asked = three[0].environment({"OMP_NUM_THREADS": "1"})
    assert asked["OMP_NUM_THREADS"] == "1", "what the user set stays"


def test_devices_are_named_in_the_ways_that_nvidia_names_them() -> None:
    assert parse_devices("0, cuda:1,GPU-3d,cpu") == ("cuda:0", "cuda:1", "cuda:GPU-3d", "cpu")
    for wrong in ("gpu0", "", "0,0"):
        with pytest.raises(DeviceError, match="--devices"):
            parse_devices(wrong)


def test_a_worker_without_a_gpu_refuses_their_queue() -> None:
    with pytest.raises(DeviceError, match="the queue gpu needs a GPU"):
        make_slots(("cpu",), ("gpu",), None)


def test_mps_is_a_gpu_that_no_variable_chooses() -> None:
    slot = Slot(0, ("mps",), ("gpu", "cpu"))
    assert "CUDA_VISIBLE_DEVICES" not in slot.environment({})


def test_a_worker_needs_no_torch() -> None:
    code = "import sys; from tunesmith.jobs.workers import worker; "
    code += "print({'torch', 'transformers'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lists LISTING, with a torch for CUDA: neither is where tests run."""
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTING}END\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("tunesmith.jobs.devices._torch_is_for_cpu", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("driver")
def test_only_devices_that_the_driver_has_are_taken() -> None:
    check_devices(("cuda:0", "cuda:1", "cuda:GPU-3d", "cuda:GPU-3", "cuda:MIG-2c", "cpu"))
    for wrong in ("7", "GPU-ff", "MIG-9"):
        with pytest.raises(DeviceError, match=rf"{wrong} isn't there.* cpu, MIG-1b, MIG-2c, 1\."):
            check_devices(("cuda:1", f"cuda:{wrong}"))


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("1,0", ("cuda:1", "cuda:0")),
        ("1,7,0", ("cuda:1",)),
        ("MIG-1b,-1,1", ("cuda:MIG-1b",)),
        ("7", ("cpu",)),
        ("", ("cpu",)),
    ],
)
def test_visible_devices_are_those_that_cuda_would_see(
    visible: str, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert detect_devices() == found


def test_a_gpu_that_the_installed_torch_cannot_use_is_refused(
    driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.jobs.devices._torch_is_for_cpu", lambda: True)
    with pytest.raises(DeviceError, match="installed without CUDA"):
        check_devices(("cuda:1",))


def test_a_training_in_a_slot_with_a_gpu_never_falls_back_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if choose_device(None)[0] == "cuda":
        pytest.skip("torch can use a GPU here")
    for name, value in Slot(0, ("cuda:0",), ("gpu",)).environment({}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError, match="can't use it"):
        choose_device(None)
    assert choose_device("cpu")[0] == "cpu", "that was asked for"
