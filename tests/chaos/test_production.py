"""Every part of a production is lost in turn while experiments wait and train; all succeed.

`make chaos` makes as many rounds as ROUNDS says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.cluster import ROUNDS
from tests.chaos.production import HOSTS, PARTS, Production
from tests.servers.s3_server import call, losable_s3_server
from tests.store.conftest import PostgresDatabases

from tunesmith.schemas.enums import ExperimentStatus


@pytest.fixture
def production(
    postgres_server: Any, tmp_path: Path, classification: dict[str, Any]
) -> Iterator[Production]:
    databases = PostgresDatabases(postgres_server.get_uri())
    asked = {
        **classification,
        "training": {
            **classification["training"],
            "num_train_epochs": 8,
            "eval_strategy": "no",
            "save_strategy": "steps",
            "save_steps": 50,
            "logging_steps": 50,
        },
        "job": {"max_restarts": 100},
    }
    with losable_s3_server() as s3:
        call("PUT", f"{s3.address}/bucket")
        production = Production(tmp_path, postgres_server, databases.create(), s3, asked)
        try:
            production.deploy()
            yield production
        finally:
            production.close()
            databases.drop()


def test_the_loss_of_any_one_part_costs_no_experiment(production: Production) -> None:
    for part in PARTS * ROUNDS if ROUNDS > 1 else PARTS[:-1]:  # one host is like the other
        production.keep_busy()
        if part in HOSTS or ROUNDS > 1:  # else at any moment
            production.wait_for_training()
        production.lose(part)
        time.sleep(2 * production.random.random())  # at any moment, for any time
        production.bring_back(part)
    ended = production.wait_for_all()
    assert {one.status for one in ended} == {ExperimentStatus.SUCCEEDED}, production.said()
    assert {one.worker for one in ended} <= set(HOSTS)
    assert len(set(production.adapters(production.submitted))) == 1  # one seed, one result
    folders = {name: production.folder / name / "results" for name in HOSTS}
    for one in ended:
        assert Path(str(one.directory)).parent == folders[str(one.worker)]
