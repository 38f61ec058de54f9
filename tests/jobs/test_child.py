"""A service as a child process: what it prints never holds it up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.jobs.conftest import eventually

from tunesmith.jobs.services.child import Child


def test_a_service_goes_on_printing_where_its_lines_cannot_be_shown(tmp_path: Path) -> None:
    lines = 5_000
    talk = f"for number in range({lines}): print('line', number, 'x' * 40)"
    full = os.open("/dev/full", os.O_WRONLY)

    def say(name: str, line: str) -> None:
        os.write(full, line.encode())

    child = Child("talker", [sys.executable, "-c", talk], tmp_path, say)
    child.start()
    assert child.identity is not None
    eventually(lambda: child.identity is not None and child.identity.find() is None, 30)
    child.end(lambda: 0.0)
    child.close()
    os.close(full)
    kept = (tmp_path / "talker.log").read_text().splitlines()
    assert len(kept) == lines
    assert kept[-1].startswith(f"line {lines - 1} ")
