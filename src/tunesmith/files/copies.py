"""Copies of experiments' folders in an object store, for machines that share no files.

A folder becomes `{address}/{folder's name}/…`. Any address that obstore knows will do (`s3://`,
`gs://`, `az://`, `file:///`), with its credentials in the provider's own environment variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Self

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from tunesmith.errors import NotFoundError, StorageError, UserError
from tunesmith.files.layout import ABOUT, LAST_OF_CHECKPOINT
from tunesmith.files.writing import written_whole
from tunesmith.messages import say
from tunesmith.settings import Settings

_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}

_DELETED = ".deleted"
"""Folder of the marks of what was deleted; no experiment's name begins with a dot."""


@dataclass(frozen=True)
class CopiedFolder:
    """What is in the copy of a folder."""

    files: dict[str, int]
    """Path → bytes."""
    changed_at: datetime
    """When a file of it was last written."""


class Copies:
    """The copies at `address`. Raises UserError for an address that can't be one."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            local = address.startswith("file:")
            options: Any = {"mkdir": True} if local else {"retry_config": _RETRIES}
            if address.startswith("s3"):
                options["client_options"] = {"allow_http": True}  # a store of one's own network
            self._store = from_url(self.address, **options)
        except (BaseError, ValueError, TypeError) as error:
            raise UserError(
                "TUNESMITH_ARTIFACTS can't be used; it is an address such as s3://bucket/prefix"
            ) from error

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Those of this installation; None where machines share their files."""
        return cls(settings.artifacts) if settings.artifacts else None

    def files(self, name: str) -> dict[str, int]:
        """Path inside the copied folder `name` → size in bytes. Raises StorageError."""
        with self._doing(say("the files of {name}", name=name), "listed"):
            return {
                str(PurePosixPath(meta["path"]).relative_to(name)): meta["size"]
                for batch in obstore.list(self._store, prefix=name)
                for meta in batch
            }

    def folders(self) -> dict[str, CopiedFolder]:
        """Every copied folder, by name. Raises StorageError."""
        found: dict[str, CopiedFolder] = {}
        with self._doing(say("the copied folders"), "listed"):
            for batch in obstore.list(self._store):
                for meta in batch:
                    name, _, path = meta["path"].partition("/")
                    if not path or name == _DELETED:
                        continue
                    known = found.setdefault(name, CopiedFolder({}, meta["last_modified"]))
                    known.files[path] = meta["size"]
                    if meta["last_modified"] > known.changed_at:
                        found[name] = replace(known, changed_at=meta["last_modified"])
        return found

    def size(self, name: str, path: str) -> int | None:
        """Bytes of a file of the copied folder `name`; None when it isn't there.

        Raises StorageError.
        """
        with self._doing(say("{path} of {name}", path=path, name=name), "read"):
            try:
                return obstore.head(self._store, f"{name}/{path}")["size"]
            except FileNotFoundError:
                return None

    def read(self, name: str, path: str, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """A file of the copied folder `name`, piece by piece: all, or its bytes from `begin` up to
        before `end`.

        Raises NotFoundError when it isn't there, StorageError when it can't be read.
        """
        if end is not None and begin >= end:
            return
        options: Any = {} if end is None else {"range": (begin, end)}
        with self._doing(say("{path} of {name}", path=path, name=name), "read"):
            for piece in obstore.get(self._store, f"{name}/{path}", options=options).stream():
                yield bytes(piece)

    def write(self, folder: Path, path: str) -> None:
        """Copy the file at `path` inside `folder` there. Raises StorageError, OSError."""
        with (
            self._doing(say("{path} of {name}", path=path, name=folder.name), "copied"),
            (folder / path).open("rb") as stream,
        ):
            obstore.put(self._store, f"{folder.name}/{path}", stream)

    def put(self, name: str, path: str, content: bytes) -> None:
        """Write a small file of the copied folder `name`. Raises StorageError."""
        with self._doing(say("{path} of {name}", path=path, name=name), "written"):
            obstore.put(self._store, f"{name}/{path}", content)

    def remove(self, name: str, paths: list[str]) -> None:
        """Delete files of the copied folder `name`, as far as they are there. Raises StorageError.

        What makes a checkpoint whole goes before the rest: nobody fetches half of one as a whole.
        """
        with self._doing(say("files of {name}", name=name), "deleted"):
            for path in reversed(in_order(paths)):
                with suppress(FileNotFoundError):  # another mirror did it meanwhile
                    obstore.delete(self._store, f"{name}/{path}")

    def delete(self, name: str, experiment_id: str) -> bool:
        """Delete the copied folder `name`; returns whether there was one. Raises StorageError.

        A mark stays, by which other machines know that what they have of it may go too.
        """
        with self._doing(say("the mark that {name} is deleted", name=name), "written"):
            obstore.put(self._store, f"{_DELETED}/{name}/{experiment_id}", b"")
        files = list(self.files(name))
        self.remove(name, files)
        return bool(files)

    def deleted(self) -> list[tuple[str, str]]:
        """Name and experiment of every folder that was deleted. Raises StorageError."""
        parts = [PurePosixPath(path).parts for path in self.files(_DELETED)]
        return sorted((part[0], part[1]) for part in parts if len(part) == 2)

    def fetch(self, name: str, folder: Path) -> list[str]:
        """Bring what `folder` lacks of the copied folder `name`; a checkpoint comes whole or not.

        Logs and histories only grow: the longer one is the newer one. What people say of it is the
        newest there. What is deleted there meanwhile, as old checkpoints are, is left out. Returns
        the paths of all copied files. Raises StorageError, OSError.
        """
        files = self.files(name)
        vanished: set[Path] = set()
        for path in in_order(files):
            target = folder / path
            inside = target.resolve().is_relative_to(folder.resolve())
            older = not target.exists() or path == ABOUT or target.stat().st_size < files[path]
            wanted = inside and older
            halved = _makes_whole(path) and any(v.is_relative_to(target.parent) for v in vanished)
            if not wanted or halved:
                continue
            try:
                self._bring(name, path, target)
            except NotFoundError:
                vanished.add(target)
        return list(files)

    def _bring(self, name: str, path: str, target: Path) -> None:
        pieces = self.read(name, path)
        first = next(pieces, b"")  # before the file here is opened: it may not be there
        target.parent.mkdir(parents=True, exist_ok=True)
        # A log that is there may be open, to be written on: it stays the same file.
        place = nullcontext(target) if target.exists() else written_whole(target)
        with place as written, written.open("wb") as stream:
            stream.write(first)
            stream.writelines(pieces)

    @contextmanager
    def _doing(self, what: str, verb: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(
                "{path}: there is no such file in {folder}", path=what, folder=self.address
            ) from error
        except BaseError as error:
            cause = " ".join(str(error).split())[:300]
            raise StorageError(
                "{what} can't be {verb} in {address}: {error}",
                what=what,
                verb=verb,
                address=self.address,
                error=cause,
            ) from error


def in_order(paths: Iterable[str]) -> list[str]:
    """`paths` in the order in which they are copied: what makes a checkpoint whole comes last."""
    return sorted(paths, key=lambda path: (_makes_whole(path), path))


def _makes_whole(path: str) -> bool:
    return path.endswith(f"/{LAST_OF_CHECKPOINT}")
