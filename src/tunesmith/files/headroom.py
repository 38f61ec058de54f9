"""How much memory is left for this process: of the machine, and of its control group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from tunesmith.threads import control_groups


def memory_left(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: the machine's, or less where a container's end.

    `root` is where the system's files lie. Pages of files that the group holds don't count: the
    kernel lets go of them first (https://docs.kernel.org/admin-guide/cgroup-v2.html).
    """
    memory = psutil.virtual_memory()
    left = [most - used for most, used in _groups(root, memory.total)]
    return max(0, min([memory.available, *left]))


def memory_size(root: Path = Path("/")) -> int:
    """Bytes of memory of the machine, or of the container where that has less."""
    total = psutil.virtual_memory().total
    return min([total, *(most for most, _ in _groups(root, total))])


_NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Version → files of the limit and of the use, and the line of memory.stat of what can be freed."""


def _groups(root: Path, total: int) -> Iterator[tuple[int, int]]:
    """Limit, below `total`, and use, in bytes, of each control group that this process is in."""
    for group, version in control_groups("memory", root):
        limit, usage, cached = _NAMES[version]
        try:
            most = int((group / limit).read_text(encoding="utf-8"))
            if most >= total:  # which binds nobody, as where there is no limit in version 1
                continue
            used = int((group / usage).read_text(encoding="utf-8"))
            stat = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
            files = dict(line.split() for line in stat).get(cached, 0)
            yield most, used - int(files)
        except (OSError, ValueError):  # no such group here; or "max": no limit
            continue
