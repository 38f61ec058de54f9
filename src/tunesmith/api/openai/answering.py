"""Answers of the engine, which computes in threads, for requests of an event loop.

When a client disconnects, its answer ends after the next token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request

from tunesmith.api.http.problems import BusyError
from tunesmith.serving.asking import Asking, Spoken

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.serving.engine import Engine
    from tunesmith.serving.generation import Chat

MOST_WAITING = 64
"""Requests that are answered at once or wait for memory; each holds a thread."""

LOOK = 0.2
"""Seconds between two looks whether who asked is still there."""

T = TypeVar("T")


class Answering:
    """Lets the engine work for requests. For one event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests = 0
        # Twice as many: one whose question is read goes on, though others have come meanwhile.
        self._threads = ThreadPoolExecutor(2 * MOST_WAITING, "answer")

    async def begin(self, call: Callable[[], T]) -> T:
        """What `call`, the first one of a request, gives. Raises BusyError for one too many."""
        if self.requests >= MOST_WAITING:
            raise BusyError(
                "{most_waiting} requests are waiting already; ask again soon.",
                most_waiting=MOST_WAITING,
            )
        return await self._work(call)

    def _work(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """What `call` will give, in a thread; who doesn't wait for it doesn't stop it."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, call)
        self.requests += 1
        work.add_done_callback(self._done)
        return work

    def _done(self, work: asyncio.Future[Any]) -> None:
        self.requests -= 1
        if not work.cancelled():
            work.exception()  # whoever still waited has had it raised

    async def whole(self, request: Request, chat: Chat, asking: Asking) -> tuple[str, Spoken]:
        """The text of the answer, and how it ended."""
        pieces: list[str] = []
        with _told_of_its_end(asking.gone):
            answer = self._work(lambda: self.engine.say(chat, asking, pieces.append))
            while not (await asyncio.wait({answer}, timeout=LOOK))[0]:
                if await request.is_disconnected():
                    asking.gone.set()
            return "".join(pieces), answer.result()

    async def pieces(self, chat: Chat, asking: Asking) -> AsyncIterator[str | Spoken]:
        """The pieces of the answer as they are made, then how it ended."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[str | None] = asyncio.Queue()

        def hear(piece: str | None) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, piece)

        def say() -> Spoken:
            try:
                return self.engine.say(chat, asking, hear)
            finally:
                hear(None)

        with _told_of_its_end(asking.gone):
            answer = self._work(say)
            while (piece := await heard.get()) is not None:
                yield piece
            yield await answer

    def close(self) -> None:
        """End what is being answered, and the threads."""
        self.engine.close()
        self._threads.shutdown(cancel_futures=True)


@contextmanager
def _told_of_its_end(gone: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        gone.set()
