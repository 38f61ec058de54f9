"""Turns for what takes long: few at a time, so that everything else is still answered.

Handlers share some forty threads. What reads whole datasets would occupy them all, and the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tunesmith.api.http.problems import BusyError

MOST = 2
"""So many requests that take long are worked on at once."""

PATIENCE = 3.0
"""Seconds that one waits for its turn."""

MOST_LIGHT = 4
"""So many requests are worked on at once that look at no more than a text or a few rows."""

MOST_SHORT = 4
"""So many requests are worked on at once that take tens of milliseconds, such as submitting."""

SHORT_PATIENCE = 30.0
"""Seconds that one of those waits: so does a whole sweep of them that a program sends at once."""


class Turns:
    """Turns for requests that take long; waiting for one holds no thread. For one event loop."""

    def __init__(self, most: int = MOST, patience: float = PATIENCE) -> None:
        self._free = asyncio.BoundedSemaphore(most)
        self._patience = patience

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a turn. Raises BusyError when none gets free for a while."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError(
                "Other requests that take long are being worked on; ask again in a moment."
            ) from None
        try:
            yield
        finally:
            self._free.release()
