"""What `tunesmith up` has started on this machine, written down so that it can be found again."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunesmith.errors import StorageError
from tunesmith.files.machine import is_this_machine
from tunesmith.files.writing import write_json
from tunesmith.jobs.processes import ProcessIdentity
from tunesmith.settings import Settings


@dataclass(frozen=True)
class Running:
    """The services of one `tunesmith up`: the process that watches them, and they themselves."""

    host: str
    supervisor: ProcessIdentity
    services: Mapping[str, ProcessIdentity] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Service → where it is reached, without passwords."""
    machine: str | None = None
    """Which machine `host` names, as `files.machine` tells machines apart."""

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine."""
        return is_this_machine(self.machine, self.host)

    def write(self, settings: Settings) -> None:
        """Write it down. Raises StorageError."""
        write_json(_path(settings), asdict(self))

    @classmethod
    def read(cls, settings: Settings) -> Running | None:
        """What was written down last; None where nothing was, or it can't be read."""
        try:
            values = json.loads(_path(settings).read_text(encoding="utf-8"))
            services = {name: ProcessIdentity(**v) for name, v in values["services"].items()}
            supervisor = ProcessIdentity(**values["supervisor"])
            addresses = dict(values["addresses"])
            return cls(values["host"], supervisor, services, addresses, values.get("machine"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @staticmethod
    def forget(settings: Settings) -> None:
        """Delete what was written down."""
        _path(settings).unlink(missing_ok=True)


@contextmanager
def only_one(settings: Settings) -> Iterator[bool]:
    """Hold the lock of this results folder's services; gives False when another process has it.

    The lock ends with the process, however that ends. Raises StorageError when the folder can't be
    written.
    """
    folder = settings.services_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("w")
    except OSError as error:
        raise StorageError(
            "{folder} can't be written: {error}. Set TUNESMITH_RESULTS_DIR to a folder of yours.",
            folder=folder,
            error=error.strerror or error,
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _path(settings: Settings) -> Path:
    return settings.services_dir / "services.json"
