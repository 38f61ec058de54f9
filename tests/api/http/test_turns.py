"""Turns: whatever computes on a body waits for one, and who submits never behind who checks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from tests.api.serving import Api
from tests.api.test_train import problem
from tests.conftest import finish

from tunesmith.api.app import ROUTERS
from tunesmith.api.computing.turns import MOST_SHORT, Turns
from tunesmith.api.deps import take_light_turn, take_short_turn, take_turn
from tunesmith.api.http.bodies import read_json_object


def needed(dependant: Dependant) -> Iterator[Any]:
    """What a route depends on, at whatever depth."""
    for each in dependant.dependencies:
        yield each.call
        yield from needed(each)


def test_every_route_that_reads_a_free_body_takes_a_turn() -> None:
    reading, without = [], []
    for route in (route for module in ROUTERS for route in module.router.routes):
        assert isinstance(route, APIRoute)
        calls = list(needed(route.dependant))
        if read_json_object in calls:
            reading.append(route.path)
            if not {take_turn, take_light_turn, take_short_turn} & set(calls):
                without.append(f"{route.methods} {route.path}")
            # Who sends slowly must not hold a turn: the body is there before it is taken.
            turns = (take_turn, take_light_turn, take_short_turn)
            first = next(c for c in calls if c in (read_json_object, *turns))
            assert first is read_json_object, route.path
    assert {"/train", "/sweeps", "/configuration/check"} <= set(reading)
    assert without == []


def test_who_submits_waits_for_its_own_kind_only(api: Api, config: dict[str, Any]) -> None:
    api.service.turns._free = asyncio.BoundedSemaphore(1)
    api.service.turns._patience = 0.05
    api.service.short_turns._patience = 0.05
    # What checks data holds every turn of its own.
    api.service.turns._free._value = 0
    problem(api.post("/configuration/check", json=config), 503)
    for route in ("resolve", "estimate"):
        assert api.post(f"/configuration/{route}", json=config).status_code == 200
    assert api.post("/configuration/parse", json={"yaml": "a: 1"}).status_code == 200
    assert api.post("/train", json=config).status_code == 202
    # Others that submit hold all of these.
    api.service.short_turns._free._value = 0
    busy = api.post("/train", json=config)
    assert problem(busy, 503)["type"].endswith("busy")
    assert busy.headers["Retry-After"]
    problem(api.post("/sweeps", json={}), 503)


def test_a_crowd_that_submits_at_once_is_all_taken(api: Api, config: dict[str, Any]) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: api.post("/train", json=config).status_code, range(24)))
    assert found == [202] * 24


def test_so_many_and_no_more_hold_a_short_turn() -> None:
    async def hold() -> int:
        turns, held = Turns(MOST_SHORT, 0.01), 0
        async with AsyncExitStack() as stack:
            for _ in range(MOST_SHORT + 1):
                try:
                    await stack.enter_async_context(turns.take())
                except Exception:  # noqa: BLE001 - counted
                    return held
                held += 1
        return held

    assert finish(hold()) == MOST_SHORT
