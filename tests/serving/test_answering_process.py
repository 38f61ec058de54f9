"""The process that answers for the API, where it can't be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunesmith.errors import ServiceError
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.answering_process import Companion
from tunesmith.settings import Settings


def test_an_api_that_was_installed_without_pytorch_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    companion = Companion(settings)
    with pytest.raises(ServiceError, match="without PyTorch"):
        companion.answer(SavedAdapter("0" * 32, tmp_path, {}, None), ["a text"])
    assert companion.pid is None
    companion.close()
