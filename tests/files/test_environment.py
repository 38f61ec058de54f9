"""Who and what an experiment ran on."""

from __future__ import annotations

import pytest

from tunesmith.files.environment import user_name


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "maria")
    assert user_name() == "maria"
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    # Another user needs another process; the number is all that is asked of the system.
    monkeypatch.setattr("os.getuid", lambda: 45678)
    assert user_name() == "uid-45678"
