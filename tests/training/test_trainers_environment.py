"""Making a trainer leaves the environment alone: other threads read it."""

from __future__ import annotations

import os
from typing import Any

import pytest

import tunesmith
from tunesmith.settings import Settings


def test_the_environment_is_never_emptied(
    classification: dict[str, Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(type(os.environ), "clear", lambda _: emptied.append(True))
    asked: dict[str, Any] = {"training.max_steps": 1}
    tunesmith.train(classification, settings=settings, **asked)
    assert not emptied
