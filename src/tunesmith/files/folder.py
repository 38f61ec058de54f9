"""An experiment's folder: complete by itself, on this machine or copied to an object store.

A path from the network never leads out of it: no `..`, no hidden file, no link anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from tunesmith.errors import DataError, NotFoundError, StorageError
from tunesmith.files.copies import Copies
from tunesmith.files.layout import ABOUT, ADAPTER, LOG, PREDICTIONS
from tunesmith.files.machine import is_this_machine
from tunesmith.files.writing import as_json, as_line, storing, write_json, write_text
from tunesmith.messages.documents import without_messages
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Metric

PIECE = 1 << 18
"""Bytes that are read at once."""


@dataclass(frozen=True)
class StoredFile:
    """A file that can be read."""

    size: int
    """Bytes that it had when it was found."""
    read: Callable[[int, int], Iterator[bytes]]
    """Its bytes from one up to before another, piece by piece."""
    tag: str = ""
    """Changes when the file does: an ETag; empty where none is known."""


class ExperimentFolder:
    """The folder `{experiment_name}_{YYYYMMDD_HHMMSS}` of one experiment."""

    def __init__(
        self,
        path: Path,
        copies: Copies | str | None = None,
        *,
        experiment_id: str = "",
        is_here: bool = True,
    ) -> None:
        """`copies`, or the address of these, is where other machines copy what they write.

        `is_here`: what this machine has is the newest; else what is copied is looked for first.
        """
        self.path = path
        self.is_here = is_here
        self._copies = copies
        self._id = experiment_id
        self.log = path / LOG
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.json"
        self.record = path / "experiment.json"
        self.about = path / ABOUT
        self.history = path / "history.jsonl"
        self.data_report = path / "data_report.json"
        self.predictions = path / PREDICTIONS
        self.label_errors = path / "artifacts" / "label_errors.csv"
        self.adapter = path / ADAPTER
        self.checkpoints = path / "checkpoints"
        self.process = path / "process.txt"

    @classmethod
    def of(cls, experiment: Experiment, settings: Settings, copies: Copies | None = None) -> Self:
        """The folder of a recorded experiment; `copies` are open already, or are opened when asked.

        It lies where it was made; else under its name in this machine's results folder, where it
        was moved to, or where this machine goes on with it. With `settings.artifacts` machines
        share no files: a folder that seems to be another's is not.
        """
        made = Path(experiment.directory or settings.results_dir / experiment.id)
        path = settings.results_dir / made.name
        ours = is_this_machine(experiment.machine, experiment.host)
        known = not settings.artifacts or (ours and experiment.status.is_finished)
        if (known and made.is_dir()) or cls(path)._is_of_another(experiment.id):
            path = made
        return cls(
            path,
            (copies or settings.artifacts) if experiment.directory else None,
            experiment_id=experiment.id,
            is_here=ours or not settings.artifacts,
        )

    @classmethod
    def create(cls, root: Path, name: str, now: datetime) -> Self:
        """Make a new folder under `root`; `now` is in the user's time zone.

        Of several experiments of one name in one second, the later ones are named by the next
        seconds.
        Raises StorageError when the folder can't be made.
        """
        stamp = now
        try:
            root.mkdir(parents=True, exist_ok=True)
            while True:
                folder = root / f"{name}_{stamp:%Y%m%d_%H%M%S}"
                try:
                    folder.mkdir()
                except FileExistsError:
                    stamp += timedelta(seconds=1)
                else:
                    return cls(folder)
        except OSError as error:
            raise StorageError(
                "the results folder {folder} can't be written: {error}. Set "
                "TUNESMITH_RESULTS_DIR to a folder of yours.",
                folder=root,
                error=error.strerror or error,
            ) from error

    @cached_property
    def copies(self) -> Copies | None:
        """The object store; None where there is none. Raises UserError for a wrong address."""
        return Copies(self._copies) if isinstance(self._copies, str) else self._copies

    def is_ours(self, experiment_id: str, results: Path) -> bool:
        """Whether it is this experiment's, straight inside the folder `results`, and no link."""
        try:
            inside = self.path.resolve().parent == results.resolve()
            return inside and not self.path.is_symlink() and self.read_record().id == experiment_id
        except (DataError, OSError):
            return False

    def _is_of_another(self, experiment_id: str) -> bool:
        try:
            return self.read_record().id != experiment_id
        except DataError:
            return False

    # -- writing ----------------------------------------------------------------------------

    def make(self) -> Self:
        """Make it, where it isn't there yet. Raises StorageError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                "{folder} can't be made: {error}", folder=self.path, error=error.strerror or error
            ) from error
        return self

    def fetch(self) -> list[str]:
        """Bring here what only the copy has; the paths of all that is copied.

        Raises StorageError, OSError.
        """
        return self.copies.fetch(self.path.name, self.path) if self.copies is not None else []

    def write_record(self, experiment: Experiment) -> None:
        """Write the experiment's record, from which it can be imported into any store.

        The lease stays in the store alone: whoever has it may write the experiment, and the record
        may be read by all who see the experiment. Raises StorageError.
        """
        values = asdict(experiment)
        del values["lease"]
        for name, value in values.items():
            if isinstance(value, datetime):
                values[name] = value.isoformat()
        write_json(self.record, values)

    def write_about(self, experiment: Experiment) -> None:
        """Write what people say of it: here, where the folder is here, and to the copy.

        Raises StorageError.
        """
        if self.path.is_dir():
            write_text(self.about, about(experiment))
        if self.copies is not None:
            self.copies.put(self.path.name, ABOUT, about(experiment).encode())

    def append_history(self, points: Iterable[Metric]) -> None:
        """Add metric points to the history; each is one line. Raises StorageError."""
        lines = []
        for point in points:
            values = asdict(point)
            del values["experiment_id"]
            lines.append(as_line(values | {"recorded_at": point.recorded_at.isoformat()}))
        with storing(self.history), self.history.open("ab+") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":  # a crash cut the last line short: leave it alone
                    stream.write(b"\n")
            stream.write("".join(lines).encode())

    # -- reading what is on this machine ----------------------------------------------------

    def read_record(self) -> Experiment:
        """The experiment as last recorded here, with what people say of it now.

        Raises DataError when the folder holds no readable record.
        """
        try:
            values = without_messages(json.loads(self.record.read_text(encoding="utf-8")))
            if self.about.exists():
                said = json.loads(self.about.read_text(encoding="utf-8"))
                values |= {name: said[name] for name in ("name", "note", "tags") if name in said}
            for name in ("created_at", "started_at", "finished_at", "cancel_requested_at"):
                if values.get(name):
                    values[name] = datetime.fromisoformat(values[name])
            known = {field.name for field in fields(Experiment)}
            values = {name: value for name, value in values.items() if name in known}
            values["status"] = ExperimentStatus(values["status"])
            values["tags"] = tuple(values.get("tags", ()))
            values["directory"] = str(self.path.resolve())
            return Experiment(**values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                "{folder} holds no experiment: {error}", folder=self.path, error=error
            ) from error

    def read_history(self, experiment_id: str) -> Iterator[Metric]:
        """The metric points recorded here; a line cut short by a crash is left out."""
        if not self.history.exists():
            return
        with self.history.open(encoding="utf-8") as stream:
            for line in stream:
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:
                    continue
                values["recorded_at"] = datetime.fromisoformat(values["recorded_at"])
                yield Metric(experiment_id=experiment_id, **values)

    def walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file here that is no link, and neither hidden nor in a hidden folder."""
        for path in self.path.rglob("*"):
            inner = path.relative_to(self.path).as_posix()
            with suppress(FileNotFoundError):  # removed meanwhile, as old checkpoints are
                if _is_plain(inner) and (inside := _inside(self.path, inner)) is not None:
                    yield inner, inside.stat()

    # -- reading, wherever it lies ----------------------------------------------------------

    def files(self) -> dict[str, int]:
        """Path → bytes, by path. Raises StorageError when the copies can't be listed."""
        known = self.record.is_file()  # else never begun here, or none of ours
        found = {path: status.st_size for path, status in self.walk()} if known else {}
        found |= {path: size for path, size in self._copied().items() if _is_plain(path)}
        return dict(sorted(found.items()))

    def adapter_files(self) -> dict[str, int]:
        """Path → bytes of the trained adapter's files. Raises StorageError."""
        return {path: size for path, size in self.files().items() if path.startswith(f"{ADAPTER}/")}

    def find(self, path: str) -> StoredFile | None:
        """The file at `path`, which may come from anybody; None where there is none.

        Raises StorageError.
        """
        return self._open(path, self._copied().get(path)) if _is_plain(path) else None

    def read_log(self, offset: int, limit: int) -> tuple[bytes, int]:
        """Bytes of logs.txt from `offset` on, at most `limit`, and the log's size now.

        Nothing where there is no log yet; an offset beyond its end is its end. Raises StorageError.
        """
        log = self._known(LOG)
        if log is None:
            return b"", 0
        begin = min(offset, log.size)
        end = min(begin + limit, log.size)
        return b"".join(log.read(begin, end)) if begin < end else b"", log.size

    def read_predictions(self) -> Iterator[bytes]:
        """The answers to the held-out rows, one JSON object a line.

        Raises NotFoundError when there are none, DataError when they can't be read, StorageError
        when the object store doesn't answer.
        """
        file = self._known(PREDICTIONS)
        if file is None:
            raise NotFoundError("experiment {id} has no file {name}", id=self._id, name=PREDICTIONS)
        rest = b""
        try:
            for piece in file.read(0, file.size):
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
        except OSError as error:
            raise DataError(
                "{name} of experiment {id} can't be read: {error}",
                name=PREDICTIONS,
                id=self._id,
                error=error.strerror,
            ) from error
        if rest:
            yield rest

    def _known(self, path: str) -> StoredFile | None:
        """One of our own files: it is looked for often, and the copies never listed for it."""
        elsewhere = None if self.is_here else self.copies
        return self._open(path, elsewhere.size(self.path.name, path) if elsewhere else None)

    def _copied(self) -> dict[str, int]:
        """Path → bytes of what is copied, where that is looked for first."""
        elsewhere = None if self.is_here else self.copies
        return elsewhere.files(self.path.name) if elsewhere else {}

    def _open(self, path: str, copied: int | None) -> StoredFile | None:
        """The copy at `path`, which has `copied` bytes; None: the file on this machine."""
        if copied is not None and self.copies is not None:
            return StoredFile(copied, partial(self.copies.read, self.path.name, path))
        inside = _inside(self.path, path)
        if inside is None:
            return None
        status = inside.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        return StoredFile(status.st_size, partial(_read, inside), tag)


def about(experiment: Experiment) -> str:
    """What people call and say of `experiment`, as it stands in ABOUT."""
    return as_json({name: getattr(experiment, name) for name in ("name", "note", "tags")})


def _read(path: Path, begin: int, end: int) -> Iterator[bytes]:
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError("the file {name} was removed in this moment.", name=path.name) from None
    with stream:
        stream.seek(begin)
        while begin < end and (piece := stream.read(min(PIECE, end - begin))):
            begin += len(piece)
            yield piece


def _is_plain(path: str) -> bool:
    """Whether `path` leads straight down to what is no hidden file."""
    parts = path.split("/")
    return "\0" not in path and "\\" not in path and all(p and p[0] != "." for p in parts)


def _inside(folder: Path, path: str) -> Path | None:
    """The regular file at `path` in `folder`; None where there is none, or a link leads to it."""
    try:
        root = folder.resolve(strict=True)
        found = (root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return found if found == root / path and found.is_file() else None
