"""Keeps the copy of a running experiment's folder like the folder, where there are copies."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tunesmith.errors import LeaseLostError, NotFoundError, StorageError
from tunesmith.files.copies import in_order
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import ABOUT
from tunesmith.files.log import log

INTERVAL = 5.0
"""Seconds between two copies of what changed."""

_UNKNOWN = (-1, -1)
"""Size and time of change that no file has."""


class Mirror:
    """Copies what changes in a folder, every few seconds while it is entered, and once at the end.

    `copied` are the files of the copy that others made, and that were fetched: they are brought up
    to date, and deleted when they are gone here, like those that this mirror copies. What people
    say of the experiment is not copied: who changes it writes it there. Without copies nothing is
    done. A copy that fails is tried again next time.
    """

    def __init__(self, folder: ExperimentFolder, copied: Iterable[str] = ()) -> None:
        self._folder = folder
        self._copied = dict.fromkeys((path for path in copied if path != ABOUT), _UNKNOWN)
        """Path → size and time of change, when it was copied."""
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)

    def __enter__(self) -> Self:
        if self._folder.copies is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        if not isinstance(error, LeaseLostError):  # the copy is another process's now
            self.try_to_update()

    def update(self) -> None:
        """Copy what changed since the last time, and delete what is gone; half-written files wait.

        What makes a checkpoint whole is copied last. Raises StorageError.
        """
        copies = self._folder.copies
        if copies is None:
            return
        with self._turn:
            here = {
                path: (status.st_size, status.st_mtime_ns)
                for path, status in self._folder.walk()
                if path != ABOUT
            }
            for name in in_order(here):
                if self._copied.get(name) != here[name]:
                    with suppress(FileNotFoundError, NotFoundError):
                        copies.write(self._folder.path, name)
                        self._copied[name] = here[name]
            gone = [name for name in self._copied if name not in here]
            copies.remove(self._folder.path.name, gone)
            for name in gone:
                del self._copied[name]

    def try_to_update(self) -> None:
        """Copy what changed, now; what fails is logged, and waits for the next time."""
        try:
            self.update()
        except (StorageError, OSError) as error:
            log.warning("%s", error)

    def _keep(self) -> None:
        while not self._done.wait(INTERVAL):
            self.try_to_update()
