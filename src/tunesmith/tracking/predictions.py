"""The answers to the held-out rows that an experiment left, wherever its files lie."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from tunesmith.errors import DataError, NotFoundError
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import find_folder

PREDICTIONS = "artifacts/predictions.jsonl"


def prediction_lines(
    experiment: Experiment, artifacts: str | None, results: Path
) -> Iterator[bytes]:
    """The lines of PREDICTIONS, one JSON object each.

    `artifacts` is the object store's address, `results` this machine's results folder.

    Raises NotFoundError when there are none, DataError when they can't be read, StorageError when
    the object store doesn't answer.
    """
    if experiment.directory:
        folder = find_folder(experiment, results)
        if artifacts and experiment.host != platform.node():
            copies = Artifacts(artifacts)
            if PREDICTIONS in copies.files(folder.name):
                yield from _split(copies.read(folder.name, PREDICTIONS))
                return
        file = folder / PREDICTIONS
        try:
            if file.is_file():
                with file.open("rb") as stream:
                    yield from stream
                return
        except OSError as error:
            raise DataError(
                f"{PREDICTIONS} of experiment {experiment.id} can't be read: {error.strerror}"
            ) from error
    raise NotFoundError(f"experiment {experiment.id} has no file {PREDICTIONS}")


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
