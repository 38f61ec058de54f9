"""Each way in which a training process can end is recognised, in words that say what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.experiments.lifecycle.reconcile import Restart
from tunesmith.jobs.workers.endings import TRY_AGAIN, KillCounts, judge_ending

DUMP = """\
loading
Fatal Python error: Segmentation fault

Thread 0x0000000000000001 (most recent call first):
  File "/lib/threading.py", line 5 in wait

Current thread 0x0000000000000002 (most recent call first):
  File "/lib/torch/nn.py", line 7 in matmul
  File "/lib/train.py", line 9 in main
"""


@pytest.mark.parametrize(
    ("code", "output", "out_of_memory", "words", "restart"),
    [
        (
            -9,
            "",
            True,
            ["pid 12", "out-of-memory killer", "per_device_train_batch_size"],
            Restart.COUNTED,
        ),
        (-9, "", False, ["killed from outside", "kill -9"], Restart.COUNTED),
        (-15, "", False, ["signal from outside (SIGTERM)"], Restart.COUNTED),
        (-15, "", True, ["SIGTERM"], Restart.COUNTED),
        (
            -11,
            DUMP,
            False,
            ["SIGSEGV", "segmentation fault", "nn.py", "line 7 in matmul"],
            Restart.COUNTED,
        ),
        (-7, "", False, ["native code", "SIGBUS"], Restart.COUNTED),
        (-6, "terminate called\n", False, ["SIGABRT", "aborted itself"], Restart.COUNTED),
        (-4, "", False, ["SIGILL"], Restart.COUNTED),
        (-8, "", False, ["SIGFPE"], Restart.COUNTED),
        (
            3,
            "a\n\nImportError: no torch\n",
            False,
            ["exit code 3", "ImportError: no torch"],
            Restart.NEVER,
        ),
        (0, "", False, ["exit code 0", "printed nothing"], Restart.NEVER),
        (TRY_AGAIN, "The store is gone.\n", False, ["The store is gone."], Restart.FREE),
    ],
)
def test_an_ending_is_told_in_words_and_only_accidents_are_worth_a_restart(
    code: int, output: str, out_of_memory: bool, words: list[str], restart: Restart
) -> None:
    ending = judge_ending(code, 12, output, out_of_memory=out_of_memory)
    assert ending.restart is restart
    for word in words:
        assert word in ending.reason
    assert ending.reason.endswith((".", "torch", "nothing", "main", "matmul"))


def test_a_real_crash_is_quoted_from_what_faulthandler_wrote() -> None:
    crash = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", "import os; os.kill(os.getpid(), 11)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert crash.returncode == -signal.SIGSEGV
    ending = judge_ending(crash.returncode, 1, crash.stderr, out_of_memory=False)
    assert 'Segmentation fault at File "<string>", line 1 in <module>' in ending.reason


def write_counts(root: Path, cgroup: str, files: dict[str, int], machine: int = 0) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/vmstat").write_text(f"pgfault 7\noom_kill {machine}\n")
    for name, count in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"low 0\noom 9\noom_kill {count}\noom_group_kill 0\n")


@pytest.mark.parametrize(
    ("cgroup", "file"),
    [
        ("0::/system.slice/worker.service\n", "system.slice/worker.service/memory.events"),
        ("0::/docker/of/the/host\n", "memory.events"),
        ("5:cpu:/x\n4:memory:/docker/1\n0::/\n", "memory/docker/1/memory.oom_control"),
        ("4:memory:/docker/of/the/host\n", "memory/memory.oom_control"),
    ],
)
def test_the_kernels_kills_are_counted_in_both_versions_of_control_groups(
    cgroup: str, file: str, tmp_path: Path
) -> None:
    write_counts(tmp_path, cgroup, {file: 2}, machine=5)
    before = KillCounts.read(tmp_path)
    assert before == KillCounts(group=2, machine=5)
    write_counts(tmp_path, cgroup, {file: 2}, machine=6)
    assert not KillCounts.read(tmp_path).rose_since(before), "another service's process was killed"
    write_counts(tmp_path, cgroup, {file: 3}, machine=7)
    assert KillCounts.read(tmp_path).rose_since(before)


def test_outside_of_control_groups_the_machines_count_decides(tmp_path: Path) -> None:
    write_counts(tmp_path, "0::/\n", {}, machine=1)
    before = KillCounts.read(tmp_path)
    assert before == KillCounts(group=None, machine=1)
    write_counts(tmp_path, "0::/\n", {}, machine=2)
    assert KillCounts.read(tmp_path).rose_since(before)


def test_a_system_without_these_files_tells_nothing(tmp_path: Path) -> None:
    nothing = KillCounts.read(tmp_path)
    assert nothing == KillCounts()
    assert not nothing.rose_since(nothing)
