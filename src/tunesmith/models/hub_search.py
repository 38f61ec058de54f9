"""Base models of the Hugging Face hub by name: what can be adapted here, most downloaded first.

https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from cachetools import TTLCache
from huggingface_hub import constants, get_session

TIMEOUT = 3.0
"""Seconds that the hub has to answer, finding its address included."""

KEPT_SECONDS = 60.0
"""How long an answer, or that there was none, is kept."""

KEPT = 200
"""Answers that are kept."""

ASKED_FOR = 60
"""Models that the hub is asked for; not all of them can be used."""

SHOWN = 20
"""Models that are given."""

GENERATING = frozenset({"text-generation"})
UNDERSTANDING = frozenset(
    {"text-classification", "fill-mask", "feature-extraction", "sentence-similarity"}
)
"""The hub's words for what models do that take a text and whose layers a head can stand on."""

LIBRARIES = frozenset({"transformers", "sentence-transformers"})
"""What loads them; peft would be an adapter, mlx and others another machine's format."""

PACKED = frozenset({"gptq", "awq", "exl2", "compressed-tensors", "mlx", "gguf", "fp8"})
"""Tags of weights in formats that can't be trained on."""


UNREADABLE = (
    *(httpx2.HTTPError, httpx2.InvalidURL, OSError),
    *(ValueError, LookupError, TypeError, AttributeError),
)
"""What is raised when there is no answer in time, or one that isn't a hub's."""


@dataclass(frozen=True)
class HubModel:
    """A model of the hub, as much of it as its listing tells."""

    name: str
    generates: bool
    """Whether it writes text; the others understand it."""
    parameters: int | None
    licence: str
    """As its card says; empty where it doesn't."""
    gated: bool
    """Whether its terms have to be accepted first, and HF_TOKEN be set."""


@dataclass(frozen=True)
class HubAnswer:
    """What a search brought."""

    state: Literal["answered", "offline", "unreachable"]
    """offline: it wasn't asked (HF_HUB_OFFLINE); unreachable: it gave no answer to be read."""
    models: tuple[HubModel, ...] = ()


class HubSearch:
    """Searches the hub that HF_ENDPOINT names, and no other address; never longer than TIMEOUT."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: TTLCache[str, HubAnswer] = TTLCache(KEPT, KEPT_SECONDS)
        self._silent_until = float("-inf")
        """Until when a hub that gave no answer isn't asked again, by the steady clock."""
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="hub-search")

    def find(self, text: str) -> HubAnswer:
        """Models whose name contains `text`. Waits for the hub for TIMEOUT seconds at most."""
        if constants.HF_HUB_OFFLINE:
            return HubAnswer("offline")
        key = " ".join(text.split()).lower()
        with self._lock:
            if known := self._known.get(key):
                return known
            if self._silent_until > time.monotonic():
                return HubAnswer("unreachable")
        # Looking up a name can take longer than a request's own timeout says.
        waiting = self._threads.submit(_ask, key)
        try:
            answer = HubAnswer("answered", waiting.result(TIMEOUT))
        except UNREADABLE:
            waiting.cancel()
            with self._lock:
                self._silent_until = time.monotonic() + KEPT_SECONDS
            return HubAnswer("unreachable")
        with self._lock:
            self._known[key] = answer
        return answer

    def close(self) -> None:
        """Wait for nothing that is still underway."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask(text: str) -> tuple[HubModel, ...]:
    """The hub's answer. Not through `HfApi.list_models`, which tries again and never gives up; and
    without the token: who asks may not know of what its account can see."""
    answer = get_session().get(
        f"{constants.ENDPOINT}/api/models",
        params={
            "search": text,
            "filter": "safetensors",
            "sort": "downloads",
            "limit": ASKED_FOR,
            "expand": ["gated", "library_name", "pipeline_tag", "safetensors", "tags"],
        },
        timeout=TIMEOUT,
        follow_redirects=False,
    )
    if answer.status_code != httpx2.codes.OK:
        raise ValueError(f"HTTP {answer.status_code}")
    return tuple(model for item in answer.json() if (model := _model(item)))[:SHOWN]


def _model(item: Mapping[str, Any]) -> HubModel | None:
    """A model of the listing; None where it can't be adapted here."""
    tags = {str(tag) for tag in item.get("tags") or ()}
    kind = item.get("pipeline_tag")
    if (
        kind not in GENERATING | UNDERSTANDING
        or item.get("library_name") not in LIBRARIES
        or tags & PACKED
    ):
        return None
    licences = (tag.partition(":")[2] for tag in sorted(tags) if tag.startswith("license:"))
    count = (item.get("safetensors") or {}).get("total")
    return HubModel(
        name=str(item["id"]),
        generates=kind in GENERATING,
        parameters=int(count) if count else None,
        licence=next(licences, "")[:60],
        gated=bool(item.get("gated")),
    )
