"""Copies a running experiment's folder to the object store, where one is configured."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tunesmith.errors import LeaseLostError, StorageError
from tunesmith.experiments.recorder import log
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts, Mirror

INTERVAL = 5.0
"""Seconds between two copies of what changed."""


class Mirroring:
    """Brings what other machines left of an experiment here; copies what changes while entered.

    Without `settings.artifacts` it does nothing. A copy that fails is tried again next time.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._mirror: Mirror | None = None
        self._turn = threading.Lock()
        if settings.artifacts:
            artifacts = Artifacts(settings.artifacts)
            folder.mkdir(parents=True, exist_ok=True)
            self._mirror = Mirror(artifacts, folder, artifacts.fetch(folder.name, folder))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)

    def __enter__(self) -> Self:
        if self._mirror is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        if not isinstance(error, LeaseLostError):  # the copy is another process's now
            self.try_to_update()

    def update(self) -> None:
        """Copy what changed, now. Raises StorageError."""
        if self._mirror is not None:
            with self._turn:
                self._mirror.update()

    def try_to_update(self) -> None:
        """Copy what changed, now; what fails is logged, and waits for the next time."""
        try:
            self.update()
        except (StorageError, OSError) as error:
            log.warning("%s", error)

    def _keep(self) -> None:
        while not self._done.wait(INTERVAL):
            self.try_to_update()
