"""A short piece of `make fuzz`, the same each time."""

from __future__ import annotations

import os
import random
from pathlib import Path

import httpx2
from tests.api.serving import Api
from tests.api.test_datasets import CSV, upload

import fuzz
from tunesmith.settings import Settings
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.store import Store

CASES = 10


def test_nonsense_from_every_role_costs_little_and_breaks_nothing(
    guarded: Api, tmp_path: Path
) -> None:
    assert upload(guarded, CSV.encode()).status_code == 201
    costs = fuzz.Costs(os.getpid())
    tokens = [guarded.token(str(role), role) for role in Role] + ["ts_nobody"]
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=tmp_path / "taken")
    with Store(settings.store_url) as store:

        def one(chance: random.Random) -> fuzz.Measured:
            if chance.random() < 0.2:
                return fuzz.archive(chance, tmp_path, settings, store)
            headers = {"Authorization": f"Bearer {chance.choice(tokens)}"}
            with httpx2.Client(
                base_url=guarded.base_url, timeout=120, trust_env=False, headers=headers
            ) as client:
                return fuzz.send(client, fuzz.case(chance), "", costs)

        found = fuzz.rounds(one, 1, lambda count: count == CASES)
    assert [each for each in found if each.wrong] == []
    assert len({each.status for each in found}) > 2, "some of it reached a route"
