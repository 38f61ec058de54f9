"""How many threads compute and how they wait: decided before PyTorch loads, the user's first."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith import threads
from tunesmith.experiments.notify.hook import run_hook
from tunesmith.jobs.devices import make_slots
from tunesmith.threads import ADAPT, MARK, SLEEP, SPIN, WAITING, as_given, decided, settle, shared

DECIDED = ADAPT if threads.ADAPTS else SLEEP

Groups = Callable[[str, dict[str, str]], None]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    """Make control groups: the process's own, as /proc has them, and files by their path."""
    monkeypatch.setattr(threads, "_ROOT", tmp_path)
    monkeypatch.setattr(threads, "given_cores", lambda: 8)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 16 if logical else 8)

    def make(own: str, files: dict[str, str]) -> None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(own)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return make


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in an environment in which nobody decided anything."""
    decisive = (*threads.WAITING_ASKED, *threads.COUNTS, threads.TOKENIZING, MARK)
    kept = {name: value for name, value in os.environ.items() if name not in decisive}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch's wheels bring libgomp on Linux alone")
@pytest.mark.parametrize(
    ("asked", "policy", "spins"),
    [
        ({}, "ACTIVE", "300000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "30000000000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE", "7"),
    ],
)
def test_the_openmp_that_pytorch_brings_hears_how_threads_wait_unless_the_user_said_it(
    asked: dict[str, str], policy: str, spins: str
) -> None:
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    library = Path(torch.origin).parent / "lib" / "libgomp.so.1"
    found = run(
        f"import tunesmith, ctypes; ctypes.CDLL({str(library)!r})",
        OMP_DISPLAY_ENV="verbose", **asked,
    ).stderr  # fmt: skip
    assert f"OMP_WAIT_POLICY = '{policy}'" in found
    assert f"GOMP_SPINCOUNT = '{spins}'" in found


def test_processes_that_we_start_hear_it_and_a_hook_gets_what_the_user_gave() -> None:
    code = "import os, subprocess, sys, tunesmith; subprocess.run([sys.executable, '-c', CODE])"
    child = "import tunesmith, tunesmith.threads as t; print(t.decided())"
    said = run(f"CODE = {child!r}; {code}").stdout
    assert f"waiting='{DECIDED}'" in said, "what the parent set isn't taken for the user's"
    assert "count=None" in said
    shown = "from tunesmith.experiments.notify.hook import run_hook; import sys; " + (
        "print(run_hook([sys.executable, '-c', 'import os; print(os.environ)'], b'', 'i', 's', 9))"
    )
    assert "OMP_" not in run(shown).stdout
    assert "'OMP_WAIT_POLICY': 'ACTIVE'" in run(shown, OMP_WAIT_POLICY="ACTIVE").stdout
    assert run_hook([sys.executable, "-c", "print(1)"], b"", "i", "s", 9) == (["1"], None)


def test_where_pytorch_was_loaded_first_it_is_said() -> None:
    code = "import sys; sys.modules['torch'] = sys; import tunesmith, tunesmith.threads as t; "
    said = run(code + "print(t.decided())").stdout
    assert f"waiting='{ADAPT if threads.ADAPTS else SPIN}'" in said
    assert said.count("import tunesmith first") == (1 if threads.ADAPTS else 2)
    asked = run(code + "print(t.decided())", OMP_WAIT_POLICY="passive", OMP_NUM_THREADS="3").stdout
    assert f"count='3', count_reason='asked for in OMP_NUM_THREADS', waiting='{SLEEP}'" in asked


@pytest.mark.parametrize(
    ("own", "files", "quota", "count"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None, None),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5, "3"),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 0.2, "1"),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 9.0, None),
        (
            "0::/a.slice/b.scope\n",
            {"a.slice/cpu.max": "200000 100000\n", "a.slice/b.scope/cpu.max": "400000 100000\n"},
            2.0, "2",
        ),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n",
             "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
             "cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            4.0, "4",
        ),
        ("0::/../../elsewhere\n", {"cpu.max": "broken\n"}, None, None),
    ],
)  # fmt: skip
def test_a_quota_bounds_the_threads_whatever_version_of_control_groups_states_it(
    groups: Groups, own: str, files: dict[str, str], quota: float | None, count: str | None
) -> None:
    groups(own, files)
    assert threads.cpu_quota() == quota
    environment: dict[str, str] = {}
    settle(environment)
    assert environment.get("OMP_NUM_THREADS") == count
    assert decided(environment).count == count
    assert threads.usable_cores() == (int(count) if count else 8)
    for name in threads.COUNTS:
        asked = {name: "6"}
        settle(asked)
        found = decided(asked)
        assert (found.count, found.count_reason) == ("6", f"asked for in {name}")
        assert set(asked) == {name, *WAITING, MARK}


def test_slots_share_what_the_quota_leaves_and_the_tokenizers_threads_too(groups: Groups) -> None:
    groups("0::/\n", {"cpu.max": "400000 100000\n"})
    worker: dict[str, str] = {}
    settle(worker)
    assert worker["OMP_NUM_THREADS"] == "4"
    slot = make_slots(("cpu",), ("cpu",), 2)[0].environment(worker)
    assert (slot["OMP_NUM_THREADS"], slot["RAYON_NUM_THREADS"]) == ("2", "2")
    assert "shares the cores" in decided(slot).count_reason
    assert decided(slot).waiting == DECIDED
    settle(slot)
    assert slot["OMP_NUM_THREADS"] == "2", "the process itself changes nothing of it"
    asked = shared({"MKL_NUM_THREADS": "3", "RAYON_NUM_THREADS": "5"}, 2)
    assert asked == {
        "MKL_NUM_THREADS": "3",
        "RAYON_NUM_THREADS": "5",
    }
    assert as_given(slot) == {"CUDA_VISIBLE_DEVICES": ""}
    changed = as_given(slot | {"OMP_NUM_THREADS": "7"})
    assert changed["OMP_NUM_THREADS"] == "7", "what the user changed since is the user's"
