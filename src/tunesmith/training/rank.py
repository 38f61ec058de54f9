"""The entrance of each process of a training but the first.

`python -m tunesmith.training.rank FOLDER RANK PARENT`

The first process starts it, and speaks to it through its standard input: one line, when there is
something to train on. That input's end means that the first process is gone; this one goes too.
"""

from __future__ import annotations

import os
import queue
import select
import shutil
import signal
import sys
import threading
from pathlib import Path

from tunesmith.loading import load

LOOK_EVERY = 1.0
"""Seconds between two looks whether the parent is still there, beside the input's end."""


def main(folder: Path, rank: int, parent: int) -> int:
    """Train along until the first process has finished; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first process hears them too, and decides
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(lines, folder, parent), daemon=True)
    listener.start()
    # Only now what takes seconds to load: from here on the process notices that it is orphaned.
    follower = load("tunesmith.training.follower")
    code = 1
    try:
        code = int(follower.follow(folder, rank, lines.get))
    finally:
        if code:  # perhaps because the first process is gone: then there is something to clear up
            listener.join(2 * LOOK_EVERY)
    return code


def _listen(lines: queue.SimpleQueue[str], folder: Path, parent: int) -> None:
    """Pass on what the first process says; end this process when it is gone."""
    heard = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], LOOK_EVERY)[0]:
            continue
        part = os.read(0, 65536)
        if not part:
            break
        *whole, heard = (heard + part).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    shutil.rmtree(folder, ignore_errors=True)  # who made it can't remove it any more
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
