"""Writing what training leaves: whole or not at all, and a sentence when it can't be written."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from tunesmith.tracking.permissions import settle

WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
"""What saving raises when the disk is full: Python, torch.save and safetensors each their own."""


def make_visible(written: Path, final: Path) -> None:
    """Flush everything under `written` to disk, then rename it to `final`, replacing what is there.

    Raises OSError when the disk is full or the folder can't be written.
    """
    settle(written)
    for path in sorted(written.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    if final.exists():
        shutil.rmtree(final)
    written.rename(final)


def why_not_written(folder: Path, error: BaseException) -> str:
    """Why a file couldn't be written to `folder`, in a sentence."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < 2**20 or "No space left" in str(error):
        return f"the disk of {folder} is full ({free / 1e6:.1f} MB free)."
    return f"{str(error).strip().splitlines()[0]} ({folder}, {free / 1e6:,.0f} MB free)."


def mark_as_used(kept: Path) -> None:
    """Note that something in the cache was used now, as its time of change: unused ones may go."""
    with suppress(OSError):  # a cache that was made beforehand may be read-only
        os.utime(kept)
