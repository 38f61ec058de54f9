"""Answers in a process of its own, so that torch stays out of the API: JSON lines in and out.

`python -m tunesmith.serving.process` reads requests from standard input and ends with it:
`{"adapter": …, "inputs": […], "base": false, "max_new_tokens": null}`. Each gets one line,
`{"answers": …, "base": …, "base_reason": …, "seconds": …}` or `{"error": …, "message": …}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from tunesmith.errors import TunesmithError
from tunesmith.loading import load
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.settings import Settings
from tunesmith.tasks.base import Answer

if TYPE_CHECKING:
    from tunesmith.serving.predictor import Predictor


def main(requests: TextIO, replies: TextIO) -> None:
    """Answer `requests`, a line each, until there are no more."""
    # Only now, when what it prints while it loads can't be taken for a reply.
    predictor = load("tunesmith.serving.predictor").Predictor(Settings.read().for_others())
    for line in requests:
        reply = json.dumps(_reply(predictor, json.loads(line)))
        replies.write(reply + "\n")
        replies.flush()


def _reply(predictor: Predictor, request: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        found = predictor.answer(
            SavedAdapter.from_json(request["adapter"]),
            request["inputs"],
            base=request["base"],
            max_new_tokens=request["max_new_tokens"],
        )
    except TunesmithError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        "answers": _as_json(found.answers),
        "base": None if found.base is None else _as_json(found.base),
        "base_reason": found.base_reason,
        "seconds": time.monotonic() - begun,
    }


def _as_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    return [asdict(answer) for answer in answers]


if __name__ == "__main__":
    # What libraries print goes where errors go: the replies have a channel of their own.
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main(sys.stdin, own)
