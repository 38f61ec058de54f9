"""Who may read the files that Tunesmith writes: their owner alone, the owner's group, or all.

One rule for every file and folder, whoever writes it: the process's file mode creation mask, which
every process that this one starts inherits. What a library makes for its owner alone all the same,
as temporary files are, gets the same mode as its siblings before it becomes visible (`settle`).
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path


class Access(StrEnum):
    """Who may read."""

    OWNER = "owner"
    GROUP = "group"
    ALL = "all"


MASKS = {Access.OWNER: 0o077, Access.GROUP: 0o027, Access.ALL: 0o022}
"""What of a mode is taken away: files are 0600, 0640 or 0644, folders 0700, 0750 or 0755."""

_STATUS = Path("/proc/self/status")
"""Where Linux says this process's mask."""

_STRANGERS = {Access.OWNER: 0o077, Access.GROUP: 0o007, Access.ALL: 0}
"""What of an older folder's mode is taken away: who may write in it is left as it was."""


def take(access: Access) -> None:
    """Let whatever this process writes from now on be read as `access` says."""
    os.umask(MASKS[access])
    _known[:] = [MASKS[access]]


MARKS = ("experiments.db", ".tunesmith", "adapters", "encoded")
"""What lies in a folder that Tunesmith keeps: results and cache."""


def is_ours(folder: Path) -> bool:
    """Whether `folder` holds what Tunesmith keeps, and isn't merely named in the settings."""
    return any((folder / name).exists() for name in MARKS)


def close_to_strangers(path: Path, access: Access) -> bool:
    """Take from an older file or folder of ours what `access` doesn't allow.

    Returns whether that changed it. A folder that nobody else may enter hides all that lies in it.
    """
    try:
        found = path.stat()
        allowed = stat.S_IMODE(found.st_mode) & ~_STRANGERS[access]
        if found.st_uid != os.geteuid() or allowed == stat.S_IMODE(found.st_mode):
            return False
        path.chmod(allowed)
    except OSError:  # not there, or on a file system without modes
        return False
    return True


def settle(path: Path) -> None:
    """Give a file, or a folder with all that is in it, the mode that its siblings are made with.

    Raises OSError when that can't be done.
    """
    mask = _mask()
    for each in [path, *(path.rglob("*") if path.is_dir() else ())]:
        if each.is_symlink():
            continue
        mode = stat.S_IMODE(each.stat().st_mode)
        wanted = (0o777 | mode & 0o7000 if each.is_dir() else 0o666) & ~mask
        if mode != wanted:
            each.chmod(wanted)


def _mask() -> int:
    """This process's mask: as Linux says it; on macOS as it was when first asked for, or as set.

    Later it is never set to be read: what other threads write meanwhile would get another mode.
    """
    with suppress(OSError):
        status = _STATUS.read_text(encoding="utf-8")
        if said := re.search(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE):
            return int(said[1], 8)
    if not _known:
        _known.append(os.umask(0o077))
        os.umask(_known[0])
    return _known[0]


_known: list[int] = []
"""The mask that was set last, where the system doesn't say it."""
_mask()
