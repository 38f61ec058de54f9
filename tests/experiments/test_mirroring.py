"""The copy of a running experiment's folder: one at a time, whoever asks for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.mirror import Mirror
from tunesmith.settings import Settings


def test_the_trainings_own_copy_and_the_regular_one_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "experiment"
    settings = Settings(_env_file=None, TUNESMITH_ARTIFACTS=f"file://{tmp_path}/copies")
    folder.mkdir()
    mirroring = Mirror(ExperimentFolder(folder, Copies.of(settings)))
    (folder / "checkpoint").write_text("weights")
    mirroring.update()
    (folder / "checkpoint").unlink()  # both would find it gone, and forget it

    first_is_at_it, proceed = threading.Event(), threading.Event()
    remove = Copies.remove
    removed: list[list[str]] = []

    def slow(self: Copies, name: str, paths: list[str]) -> None:
        removed.append(paths)
        if first_is_at_it.is_set():  # the second one is here: there was no turn to wait for
            proceed.set()
        first_is_at_it.set()
        proceed.wait(0.5)
        remove(self, name, paths)

    monkeypatch.setattr(Copies, "remove", slow)
    with ThreadPoolExecutor(2) as threads:
        for asked in [threads.submit(mirroring.update) for _ in range(2)]:
            asked.result()
    assert removed == [["checkpoint"], []]
