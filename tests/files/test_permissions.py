"""Which mode a file gets that a library made for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunesmith.files import permissions


@pytest.mark.parametrize("system_says_it", [True, False])
def test_the_mask_is_known_without_being_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, system_says_it: bool
) -> None:
    monkeypatch.setattr(permissions, "_known", [0])
    if not system_says_it:  # as on macOS
        monkeypatch.setattr(permissions, "_STATUS", tmp_path / "nowhere")
    permissions.take(permissions.Access.GROUP)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("other threads write meanwhile"))
    (tmp_path / "weights").touch(0o600)
    permissions.settle(tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640
