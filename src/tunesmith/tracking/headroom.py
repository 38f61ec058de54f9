"""How much memory is left for this process: of the machine, and of its control group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil


def memory_left(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: the machine's, or less where a container's end.

    `root` is where the system's files lie. Pages of files that the group holds don't count: the
    kernel lets go of them first (https://docs.kernel.org/admin-guide/cgroup-v2.html).
    """
    left = [psutil.virtual_memory().available, *_left_in_groups(root)]
    return max(0, min(left))


def _left_in_groups(root: Path) -> Iterator[int]:
    """What is left in each control group that this process is in, and that has a limit."""
    try:
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            base, names = mount, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = mount / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.strip("/")
        # In a container the path may be the host's, and the mount the container's own group.
        for place in (group, *(p for p in group.parents if p.is_relative_to(base))):
            left = _left(place, *names)
            if left is not None:
                yield left


def _left(group: Path, limit: str, usage: str, cached: str) -> int | None:
    try:
        most = (group / limit).read_text(encoding="utf-8").strip()
        used = int((group / usage).read_text(encoding="utf-8"))
        stat = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
        files = dict(line.split() for line in stat).get(cached, 0)
        return int(most) - used + int(files)
    except (OSError, ValueError):  # no such group here; or "max": no limit
        return None
