"""Loading modules without the garbage collector."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from tunesmith.loading import load


def test_a_module_loads_without_the_garbage_collector_which_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import gc\ncollecting = gc.isenabled()\nkept = [[n] for n in range(1_000)]\n"
    (tmp_path / "of_this_test.py").write_text(source)
    (tmp_path / "broken_of_this_test.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    frozen = gc.get_freeze_count()
    module = load("of_this_test")
    assert not module.collecting
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + 1_000, "nobody looks through them again"
    assert load("of_this_test") is module
    with pytest.raises(ZeroDivisionError):
        load("broken_of_this_test")
    assert gc.isenabled()
    del sys.modules["of_this_test"]
