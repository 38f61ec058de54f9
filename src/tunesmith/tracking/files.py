"""The files of one experiment: complete by themselves, and visible whole or not at all."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from tunesmith.errors import DataError, StorageError
from tunesmith.tracking.entities import Experiment, ExperimentStatus, Metric

LAST_OF_CHECKPOINT = "progress.json"
"""The file that makes a checkpoint whole: it is written, and must be copied, after all others."""

DAMAGED = ".damaged"
"""How the hidden name of a checkpoint ends that training didn't go on from."""

PARTIAL = ".partial"
"""How the hidden name of what is not whole yet ends."""

WEIGHTS = "adapter_model.safetensors"
"""An adapter's weights, in `final_model`; PEFT's own name."""

ABOUT = "about.json"
"""What people call and say of an experiment since they changed it.

A file of its own, because what trains writes the record, from what it knew a moment ago.
"""


def find_folder(experiment: Experiment, results: Path) -> Path:
    """Where the experiment's folder lies: where it was made, or moved with the folder `results`.

    The moved one is taken where its record says that it is this experiment's; where there is
    neither, the answer is the place where it was made.
    """
    made = Path(experiment.directory or "")
    moved = results / made.name
    if not experiment.directory or made.is_dir() or not moved.is_dir():
        return made
    try:
        return moved if ExperimentFiles(moved).read_record().id == experiment.id else made
    except DataError:
        return made


class ExperimentFiles:
    """The folder `{experiment_name}_{YYYYMMDD_HHMMSS}` of one experiment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "logs.txt"
        self.config = folder / "config.yaml"
        self.metrics = folder / "metrics.json"
        self.record = folder / "experiment.json"
        self.about = folder / ABOUT
        self.history = folder / "history.jsonl"
        self.data_report = folder / "data_report.json"
        self.predictions = folder / "artifacts" / "predictions.jsonl"
        self.label_errors = folder / "artifacts" / "label_errors.csv"
        self.final_model = folder / "artifacts" / "final_model"
        self.checkpoints = folder / "checkpoints"
        self.process = folder / "process.txt"

    @classmethod
    def create(cls, root: Path, name: str, now: datetime) -> ExperimentFiles:
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
                f"the results folder {root} can't be written: {error.strerror or error}. Set "
                "TUNESMITH_RESULTS_DIR to a folder of yours."
            ) from error

    def write_record(self, experiment: Experiment) -> None:
        """Write the experiment's record, from which it can be imported into any store.

        The lease stays in the store alone: whoever has it may write the experiment, and the record
        may be read by all who see the experiment.
        """
        values = asdict(experiment)
        del values["lease"]
        for name, value in values.items():
            if isinstance(value, datetime):
                values[name] = value.isoformat()
        write_json(self.record, values)

    def read_record(self) -> Experiment:
        """The experiment as last recorded here, with what people say of it now.

        Raises DataError when the folder holds no readable record.
        """
        try:
            values = json.loads(self.record.read_text(encoding="utf-8"))
            if self.about.exists():
                about = json.loads(self.about.read_text(encoding="utf-8"))
                values |= {name: about[name] for name in ("name", "note", "tags") if name in about}
            for name in ("created_at", "started_at", "finished_at", "cancel_requested_at"):
                if values.get(name):
                    values[name] = datetime.fromisoformat(values[name])
            known = {field.name for field in fields(Experiment)}
            values = {name: value for name, value in values.items() if name in known}
            values["status"] = ExperimentStatus(values["status"])
            values["tags"] = tuple(values.get("tags", ()))
            values["directory"] = str(self.folder.resolve())
            return Experiment(**values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{self.folder} holds no experiment: {error}") from error

    def append_history(self, points: Iterable[Metric]) -> None:
        """Add metric points to the history; each is one line."""
        lines = []
        for point in points:
            values = asdict(point)
            del values["experiment_id"]
            values["recorded_at"] = point.recorded_at.isoformat()
            lines.append(json.dumps(finite(values), ensure_ascii=False) + "\n")
        with _storing(self.history), self.history.open("ab+") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":  # a crash cut the last line short: leave it alone
                    stream.write(b"\n")
            stream.write("".join(lines).encode())

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


def about(experiment: Experiment) -> str:
    """What people call and say of `experiment`, as it stands in ABOUT."""
    return _as_json({name: getattr(experiment, name) for name in ("name", "note", "tags")})


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON: beside its place, flushed, renamed.

    Raises StorageError when the disk is full or the folder can't be written.
    """
    write_text(path, _as_json(value))


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Write one JSON value a line, the file visible whole; lines are made as they are written.

    Raises StorageError when the disk is full or the folder can't be written.
    """
    lines = (json.dumps(finite(value), ensure_ascii=False, default=str) + "\n" for value in values)
    _write(path, lines)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write `text`: beside its place, flushed, renamed; `private` files are their owner's alone.

    Raises StorageError when the disk is full or the folder can't be written.
    """
    _write(path, [text], private=private)


def beside(path: Path) -> Path:
    """Where to write `path` until it is whole: hidden in its folder, and nobody else's place.

    What a crash leaves there ends in PARTIAL.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write `path`: it gets its name at the end, and is gone where writing fails."""
    partial = beside(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def flush(stream: IO[Any]) -> None:
    """What was written is on the disk after this, should the machine lose power."""
    stream.flush()
    os.fsync(stream.fileno())


def _write(path: Path, parts: Iterable[str], *, private: bool = False) -> None:
    with _storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            mode = 0o600 if private else 0o666
            made = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(made, "w", encoding="utf-8") as stream:
                stream.writelines(parts)
                flush(stream)


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as null: JSON has none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


def _as_json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, indent=2, default=str) + "\n"


class _storing:  # noqa: N801 - reads as a verb in `with`
    """Turns a failed write into a StorageError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                f"{self.path} can't be written: {error.strerror or error}"
            ) from error
