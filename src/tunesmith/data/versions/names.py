"""Names of datasets, tags and versions: which can be, and which version `reviews@3` means."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from tunesmith.data.reading import files
from tunesmith.data.versions.log import VersionLog
from tunesmith.errors import DataError, NotFoundError, nearest, shorten

CURRENT, LATEST = "current", "latest"
SHOWN_NAMES = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RULE = "1 to 100 letters, digits, _, . and -, of which a letter or digit is the first"
_FILE_ENDINGS = (*files.FORMATS, *files.UNREAD, *files.COMPRESSIONS)


def is_name(name: str) -> bool:
    """Whether a dataset or tag can have this name: it is no path, and looks like no file."""
    fits = _NAME.fullmatch(name) is not None and ".." not in name
    return fits and not name.lower().endswith(_FILE_ENDINGS)


def is_reference(name: str) -> bool:
    """Whether `name` looks like a version's reference: `reviews@3`, `reviews@gold`."""
    parts = name.split("@")
    return len(parts) == 2 and all(is_name(part) for part in parts)


def check_name(name: str, what: str = "a dataset") -> None:
    """Raises DataError when nothing can have this name: it would be a path, or look like a file."""
    if is_name(name):
        return
    message = f"{what} can't be called {shorten(name)}"
    if _NAME.fullmatch(name) is None or ".." in name:
        raise DataError(f"{message}; accepted: {_RULE}, without .. in it")
    ending = Path(name).suffix
    raise DataError(f"{message}: it would be taken for a file; leave the ending {ending} away")


def check_tag(tag: str) -> None:
    """Raises DataError when no version can be tagged so."""
    check_name(tag, "a tag")
    if tag in (CURRENT, LATEST) or tag.isdigit():
        raise DataError(f"a tag can't be called {tag!r}, which has a meaning of its own")


def find_number(log: VersionLog, reference: str) -> int:
    """The number of the version of this dataset that `reference` means.

    Raises NotFoundError naming what there is, and the nearest name.
    """
    name, at, wanted = reference.partition("@")
    if not at or wanted == CURRENT:
        return log.current
    if wanted == LATEST:
        return max(log.versions)
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else log.tags.get(wanted)
    if number in log.versions:
        return number
    latest = max(log.versions)
    there = f"{name}@1 to {name}@{latest}" if latest > 1 else f"{name}@1"
    if log.tags:
        there += f", tagged: {_listed(log.tags)}"
    near = nearest(wanted, [*log.tags, LATEST, CURRENT])
    hint = f"; did you mean {name}@{near}?" if near else ""
    raise NotFoundError(f"there is no version {reference}; there is {there}{hint}")


def hint(wanted: str, known: Collection[str], what: str) -> str:
    """The end of a message about a name that isn't there: the nearest, else all (`what`)."""
    near = nearest(wanted, known)
    if near:
        return f"; did you mean {near}?"
    return f"; there is: {_listed(known)}" if known else f"; there are no {what} yet"


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown}, …"
