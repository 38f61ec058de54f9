"""A short piece of `make fuzz`, the same each time."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import httpx2
import pytest
from tests.api.serving import Api
from tests.api.test_datasets import CSV, upload

import fuzz
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.store import Store

CASES = 10


def test_nonsense_from_every_role_costs_little_and_breaks_nothing(
    guarded: Api, tmp_path: Path
) -> None:
    assert upload(guarded, CSV.encode()).status_code == 201
    costs = fuzz.Costs(os.getpid(), busy_machine=True)
    tokens = [guarded.token(str(role), role) for role in Role] + ["ts_nobody"]
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=tmp_path / "taken")
    with Store(settings.store_url) as store:

        def one(chance: random.Random) -> fuzz.Measured:
            if chance.random() < 0.2:
                return fuzz.archive(chance, tmp_path, settings, store, costs)
            headers = {"Authorization": f"Bearer {chance.choice(tokens)}"}
            with httpx2.Client(
                base_url=guarded.base_url, timeout=120, trust_env=False, headers=headers
            ) as client:
                return fuzz.send(client, fuzz.case(chance), "", costs)

        found = fuzz.rounds(one, 1, lambda count: count == CASES)
    assert [each for each in found if each.wrong] == []
    assert len({each.status for each in found}) > 2, "some of it reached a route"


def test_no_body_is_larger_than_what_is_said_however_it_is_nested() -> None:
    body = fuzz.as_json([[["a" * 1000] * 5000] * 5000] * 5000)
    assert len(body) == fuzz.MOST
    assert fuzz.as_json({"a": [1, None]}) == b'{"a": [1, null]}'


def test_what_waits_is_slow_too_unless_the_machine_is_known_to_be_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock, a disk or a sleeping process keeps whoever asks waiting, and takes no processor."""
    monkeypatch.setattr(fuzz, "SLOW", 0.2)

    def answer(_: httpx2.Request) -> httpx2.Response:
        time.sleep(0.25)
        return httpx2.Response(200)

    asked = fuzz.Case("wait", "GET", "/")
    with httpx2.Client(
        base_url="http://127.0.0.1:1", transport=httpx2.MockTransport(answer)
    ) as client:
        for busy, wrong in ((False, True), (True, False)):
            costs = fuzz.Costs(os.getpid(), busy_machine=busy)
            assert bool(fuzz.send(client, asked, "", costs).wrong) is wrong
