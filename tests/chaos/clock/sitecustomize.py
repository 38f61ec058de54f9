"""Sets the clock that this process sees by the seconds in the file TEST_CLOCK, again and again."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

START = datetime.now(UTC)
BEGUN = time.monotonic()


def follow(path: Path) -> None:
    """Set the clock whenever the file says something else."""
    known, traveller = 0, None
    while True:
        wanted = int(path.read_text() or known)
        if wanted != known:
            known = wanted
            if traveller is not None:
                traveller.stop()
            real = START + timedelta(seconds=time.monotonic() - BEGUN)
            traveller = time_machine.travel(real + timedelta(seconds=wanted), tick=True)
            traveller.start()
        time.sleep(0.1)


threading.Thread(target=follow, args=[Path(os.environ["TEST_CLOCK"])], daemon=True).start()
