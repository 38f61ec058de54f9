"""Which machine a process number belongs to: clones, containers and restarts are distinguished."""

from __future__ import annotations

import itertools
import os
import platform
from pathlib import Path

import pytest

from tunesmith.files import machine
from tunesmith.files.machine import is_this_machine, this_machine

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are Linux's, wherever the tests run."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")


class System:
    """A Linux as its files show it; all of one test have one name and one machine-id."""

    def __init__(self, folder: Path, *, boot: str = "first") -> None:
        self.root = folder / f"system_{next(_numbers)}"
        self.write("etc/machine-id", "b08dfa6083e7567a1921a715000001fb\n")
        self.write("proc/sys/kernel/random/boot_id", f"{boot}\n")
        (self.root / "sys/class/net").mkdir(parents=True)

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def device(self, name: str, address: str, *, bus: str = "pci0", assigned: str = "0") -> None:
        """A network device; without a bus it is virtual."""
        self.write(f"sys/class/net/{name}/address", f"{address}\n")
        self.write(f"sys/class/net/{name}/addr_assign_type", f"{assigned}\n")
        if bus:
            hardware = self.root / "sys/devices" / bus / name
            hardware.mkdir(parents=True)
            (self.root / f"sys/class/net/{name}/device").symlink_to(hardware)

    def namespace(self, like: System | None = None) -> Path:
        """Give it a PID namespace: one of its own, or that of another; its file is returned."""
        file = self.root / "proc/self/ns/pid"
        file.parent.mkdir(parents=True)
        if like is None:
            file.touch()
        else:
            os.link(like.root / "proc/self/ns/pid", file)
        return file

    @property
    def identity(self) -> str:
        return this_machine(self.root)


def machines(
    folder: Path, count: int, monkeypatch: pytest.MonkeyPatch, *boots: str
) -> list[System]:
    """Systems outside of containers."""
    systems = [System(folder, boot=boot) for boot in (boots or ("first",) * count)]
    first = systems[0].namespace()
    for other in systems[1:]:
        other.namespace(systems[0])
    monkeypatch.setattr(machine, "_FIRST_PID_NAMESPACE", first.stat().st_ino)
    return systems


def test_clones_of_one_name_and_one_id_are_two_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines(tmp_path, 2, monkeypatch)
    one.device("eth0", "52:54:00:00:00:01")
    other.device("eth0", "52:54:00:00:00:02")
    assert one.identity != other.identity


def test_a_machine_is_the_same_after_it_was_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = machines(tmp_path, 2, monkeypatch, "first", "second")
    for system in (before, after):
        system.device("eth0", "52:54:00:00:00:01")
    assert before.identity == after.identity


def test_what_is_plugged_in_made_up_or_virtual_changes_no_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, busy = machines(tmp_path, 2, monkeypatch)
    for system in (plain, busy):
        system.device("eth0", "52:54:00:00:00:01")
    busy.device("eth1", "52:54:00:00:00:02", bus="pci0/usb1")
    busy.device("wlan0", "52:54:00:00:00:03", assigned="3")
    busy.device("docker0", "52:54:00:00:00:04", bus="")
    assert plain.identity == busy.identity


def test_containers_on_one_machine_are_told_apart(tmp_path: Path) -> None:
    one, other, beside = System(tmp_path), System(tmp_path), System(tmp_path)
    one.namespace()
    other.namespace()
    beside.namespace(one)
    assert one.identity != other.identity
    assert one.identity == beside.identity


def test_containers_on_two_machines_are_told_apart_whatever_their_numbers(tmp_path: Path) -> None:
    one, other = System(tmp_path, boot="one kernel"), System(tmp_path, boot="another")
    one.namespace()
    other.namespace(one)
    assert one.identity != other.identity


def test_processes_of_one_machine_agree_and_tell_no_names() -> None:
    said = this_machine()
    assert len(said) == 16
    assert said == this_machine.__wrapped__()
    assert is_this_machine(said, "another name")
    assert not is_this_machine("0123456789abcdef", platform.node())


def test_a_record_of_before_is_known_by_its_hosts_name() -> None:
    assert is_this_machine(None, platform.node())
    assert not is_this_machine(None, "another name")
    assert not is_this_machine(None, None)
