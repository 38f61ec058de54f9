"""Answers in a process of its own, so that torch stays out of the API."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.loading import load
from tunesmith.settings import Settings

if TYPE_CHECKING:
    from tunesmith.serving.predictor import Predictor


def serve(channel: Connection, settings: Settings) -> None:
    """Answer the requests that come through `channel`, until its other end is gone.

    A request is what `Predictor.answer` takes, by name. The reply is `{"answers", "base",
    "base_reason", "seconds"}`, or `{"error", "message"}`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the API, which ends it
    predictor = load("tunesmith.serving.predictor").Predictor(settings.for_others())
    with suppress(EOFError, BrokenPipeError):
        while True:
            channel.send(_reply(predictor, channel.recv()))


def _reply(predictor: Predictor, request: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        found = asdict(predictor.answer(**request))
    except TunesmithError as error:
        return {"error": type(error).__name__, "message": str(error)}
    reason = found["base_reason"] and str(found["base_reason"])
    return {**found, "base_reason": reason, "seconds": time.monotonic() - begun}
