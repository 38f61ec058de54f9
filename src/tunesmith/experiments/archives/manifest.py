"""What an archive says of itself, and of the files in it: nothing of that is trusted."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic_core import from_json

from tunesmith.errors import DataError
from tunesmith.messages import say
from tunesmith.store.entities.experiments import ID_LENGTH

FORMAT = 1
"""Of the archive; a higher one is refused by this version."""

MANIFEST = "archive.json"

MOST_FILES = 10_000
MOST_MANIFEST = 4 << 20

FREE_BYTES = 1 << 30
RATIO = 200
"""Beyond `FREE_BYTES`, no more than so many times the archive's own size may come out of it."""

_NAME = re.compile(r"[^\\\0-\x1f\x7f]{1,1000}")
_FOLDER = re.compile(r"\w[\w.-]{0,220}")


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    experiment: str
    folder: str
    files: dict[str, str]
    """Name of each file → its SHA-256."""

    @property
    def digest(self) -> str:
        """Hash of the names and hashes of all files."""
        lines = "\n".join(f"{digest} {name}" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def read_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Name → entry; plain files only, each once, of a size that may be. Raises DataError."""
    listed = archive.infolist()
    entries = {entry.filename: entry for entry in listed}
    if len(listed) > MOST_FILES:
        raise DataError(
            "{path} holds {n:,} files; at most {most:,} are unpacked.",
            path=path,
            n=len(listed),
            most=MOST_FILES,
        )
    if len(entries) < len(listed):
        raise untrusted(path, say("it names a file twice."))
    for entry in listed:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.is_dir() or entry.flag_bits & 1:
            raise untrusted(
                path,
                say(
                    "{filename} is no plain file (a link, a folder, a device, or encrypted).",
                    filename=repr(entry.filename),
                ),
            )
    total, size = sum(entry.file_size for entry in listed), path.stat().st_size
    if total > max(FREE_BYTES, RATIO * size):
        raise DataError(
            "{path} unpacks from {size:,.1f} MB to {total:,.0f} MB, over {ratio} "
            "times its size: such files are made to fill a disk, and it is not "
            "unpacked.",
            path=path,
            size=size / 1e6,
            total=total / 1e6,
            ratio=RATIO,
        )
    return entries


def read_manifest(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], path: Path
) -> Manifest:
    """What the archive at `path` says of itself, all of which may be. Raises DataError."""
    try:
        if entries[MANIFEST].file_size > MOST_MANIFEST:
            raise DataError(
                "{path}: its {name} is larger than {most} MiB.",
                path=path,
                name=MANIFEST,
                most=MOST_MANIFEST >> 20,
            )
        with archive.open(MANIFEST) as stream:
            stated = from_json(stream.read(MOST_MANIFEST))
        number, files = stated["format"], {str(k): str(v) for k, v in stated["files"].items()}
        found = Manifest(str(stated["experiment"]), str(stated["folder"]), files)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            "{path} is no archive of an experiment ({name}).", path=path, name=MANIFEST
        ) from error
    if not isinstance(number, int) or number > FORMAT:
        raise DataError(
            "{path} is of another format ({value}; this version reads up to {n}): "
            "upgrade Tunesmith.",
            path=path,
            value=repr(number),
            n=FORMAT,
        )
    _require_plain(found, path)
    if missing := [name for name in found.files if name not in entries]:
        raise damaged(path, say("{missing} is missing.", missing=missing[0]))
    return found


def _require_plain(found: Manifest, path: Path) -> None:
    """Raises DataError when a name in it isn't one that may be."""
    for name in found.files:
        parts = PurePosixPath(name).parts
        inside = parts[:1] in (("experiment",), ("data",)) and ".." not in parts
        hidden = any(part.startswith(".") for part in parts)
        if not inside or len(parts) < 2 or hidden or _NAME.fullmatch(name) is None:
            raise untrusted(path, say("it names a file {name}.", name=repr(name[:200])))
    if _FOLDER.fullmatch(found.folder) is None:
        raise untrusted(path, say("it names a folder {folder}.", folder=repr(found.folder[:200])))
    if re.fullmatch(f"[0-9a-f]{{{ID_LENGTH}}}", found.experiment) is None:
        raise untrusted(
            path, say("{experiment} is no experiment's id.", experiment=repr(found.experiment[:60]))
        )


def untrusted(path: Path, why: str) -> DataError:
    """The error for what nobody would have packed."""
    return DataError("{path} is not to be trusted: {why}", path=path, why=why)


def damaged(path: Path, why: str) -> DataError:
    """The error for what is not as it was packed."""
    return DataError("{path} is damaged: {why}", path=path, why=why)
