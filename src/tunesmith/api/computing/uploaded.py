"""An uploaded file's name: nothing of what its sender called it leads anywhere."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.data.reading.files import ending
from tunesmith.names import name_of


def harmless_name(path: Path, given: str) -> Path:
    """Rename an uploaded file to a harmless form of its name, with the ending of a table.

    What it holds is found out by its content when it is read, as with any file.
    """
    last = re.split(r"[/\\]", given)[-1]
    kind, compression = ending(last)
    plain = name_of(last.split(".")[0], "upload")
    target = path.with_name(f"{plain}{kind or '.csv'}{compression}")
    path.rename(target)
    return target
