"""What a training process prints for who collects logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.files.log import log, logging_to
from tunesmith.jobs.logs import log_training
from tunesmith.settings import Settings


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_training_logs_json_with_its_id_where_that_is_asked_for(
    log_format: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TUNESMITH_LOG_FORMAT", log_format)
    monkeypatch.setenv("HF_TOKEN", "hf_hidden")
    settings = Settings.read()
    log_training(settings, "0a1b2c")
    with logging_to(tmp_path / "logs.txt", settings):
        log.info("read with hf_hidden")
    lines = capsys.readouterr().err.splitlines()
    if log_format == "text":
        assert lines == []
        return
    (line,) = map(json.loads, lines)
    assert (line["component"], line["experiment"]) == ("training", "0a1b2c")
    assert line["message"] == "read with ***"
