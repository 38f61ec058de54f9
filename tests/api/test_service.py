"""Configurations, health, measurements, logs, and a store that doesn't answer."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from tests.api.serving import Api, add_experiment, free_port, serving
from tests.api.test_datasets import CSV, upload
from tests.api.test_train import problem, take
from tests.store.conftest import PostgresDatabases
from tests.store.conftest import postgres as postgres
from tests.store.conftest import postgres_server as postgres_server

from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.workers.usage import UsageMeter
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Worker


def test_the_schema_describes_every_field(api: Api) -> None:
    schema = api.get("/configuration/schema").json()
    assert set(schema["required"]) >= {"model", "data"}
    assert "Rank" in schema["$defs"]["LoraConfig"]["properties"]["r"]["description"]


def test_a_configuration_is_checked_with_its_data(api: Api, config: dict[str, Any]) -> None:
    config["data"]["dataset_name"] = "reviews@1"
    missing = api.post("/configuration/validate", json=config).json()
    assert missing["valid"] is False
    assert [p["field"] for p in missing["problems"]] == ["data.dataset_name"]
    upload(api, CSV.encode())
    there = api.post("/configuration/validate", json=config).json()
    assert (there["valid"], there["problems"]) == (True, [])
    assert "some/model" in there["unchecked"][0]
    config["data"]["dataset_name"] = "/etc/passwd"
    config["lora"] = {"rr": 1}
    wrong = api.post("/configuration/validate", json=config).json()
    assert {p["field"] for p in wrong["problems"]} == {"data.dataset_name", "lora.rr"}
    assert not api.store.list()


def test_defaults_are_filled_in(api: Api, config: dict[str, Any]) -> None:
    body = api.post("/configuration/resolve", json=config).json()
    assert body["config"]["lora"]["r"] == 8
    assert yaml.safe_load(body["yaml"]) == body["config"]
    problem(api.post("/configuration/resolve", json={"model": {}}), 422)


def test_workers_say_what_they_train(api: Api, config: dict[str, Any]) -> None:
    api.store.queue.register(
        Worker(
            name="w", host="h", pid=1, devices=("cuda:0",), queues=("cpu",), slots=2, version="1"
        )
    )
    api.post("/train", json=config)
    taken = take(api)
    worker = api.get("/workers").json()["items"][0]
    assert (worker["name"], worker["devices"], worker["running"]) == ("w", ["cuda:0"], [taken.id])
    assert worker["usage"] is None


def test_workers_say_what_they_and_their_devices_use(api: Api) -> None:
    api.store.queue.register(
        Worker(
            name="w", host="h", pid=1, devices=("cuda:0",), queues=("cpu",), slots=2, version="1"
        )
    )
    assert ("tunesmith_worker_cpu_percent", "w") not in measured(api)
    gpu = {
        "name": "cuda:0", "kind": "NVIDIA H100", "memory_used": 5, "memory_total": 80,
        "utilization": None,
    }  # fmt: skip
    usage = UsageMeter(("cpu",), api.settings.results_dir).measure()
    usage["devices"].append(gpu)
    api.store.queue.beat("w", usage)
    assert api.get("/workers").json()["items"][0]["usage"] == usage
    found = measured(api)
    assert found["tunesmith_worker_memory_bytes", "w"] == usage["memory_total"]
    assert found["tunesmith_device_memory_used_bytes", "cuda:0", "NVIDIA H100", "w"] == 5
    assert found["tunesmith_device_utilization_percent", "cpu", "cpu", "w"] == usage["cpu_percent"]
    unknown = ("tunesmith_device_utilization_percent", "cuda:0", "NVIDIA H100", "w")
    assert unknown not in found


def measured(api: Api) -> dict[tuple[str, ...], float]:
    """Name and labels of every sample → its value."""
    text = api.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_gets_queue_outcomes_times_and_latencies(
    api: Api, config: dict[str, Any]
) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    api.service.measurements.look()
    assert measured(api)["tunesmith_queue_length", "cpu"] == 1
    take(api)
    api.service.measurements.look()
    found = measured(api)
    assert (found["tunesmith_queue_length", "cpu"], found["tunesmith_queue_running", "cpu"]) == (
        0,
        1,
    )
    assert found["tunesmith_wait_seconds_count", "cpu"] == 1
    end(api, id_)
    api.service.measurements.look()
    api.service.measurements.look()
    found = measured(api)
    assert found["tunesmith_outcomes_total", "cpu", "failed"] == 1
    assert found["tunesmith_experiments", "failed"] == 1
    assert found["tunesmith_request_seconds_count", "POST", "/train", "202"] == 1


def end(api: Api, experiment_id: str) -> None:
    """Let a running experiment fail."""
    api.store.change_status(
        experiment_id, ExperimentStatus.FAILED, [ExperimentStatus.RUNNING], finished_at=utc_now()
    )


def test_what_ends_between_two_looks_and_what_never_ran_are_counted(
    api: Api, config: dict[str, Any]
) -> None:
    api.service.measurements.look()
    quick, waiting = (api.post("/train", json=config).json()["task_id"] for _ in range(2))
    take(api)
    end(api, quick)
    api.post(f"/experiments/{waiting}/cancel")
    api.service.measurements.look()
    found = measured(api)
    assert found["tunesmith_outcomes_total", "cpu", "failed"] == 1
    assert found["tunesmith_outcomes_total", "cpu", "cancelled"] == 1
    assert found["tunesmith_wait_seconds_count", "cpu"] == 1
    api.post(f"/experiments/{quick}/retry")
    take(api)
    api.service.measurements.look()
    end(api, quick)
    api.service.measurements.look()
    assert measured(api)["tunesmith_outcomes_total", "cpu", "failed"] == 2


def test_strangers_make_no_new_labels(api: Api) -> None:
    for number in range(5):
        api.get(f"/nothing/{number}")
        api.get(f"/task/{number}")
    found = measured(api)
    assert found["tunesmith_request_seconds_count", "GET", "unknown", "404"] == 5
    assert found["tunesmith_request_seconds_count", "GET", "/task/{task_id}", "404"] == 5


def test_a_store_that_is_gone_is_told_without_its_address(api: Api) -> None:
    database = Path(api.settings.store_url.removeprefix("sqlite:///"))
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE experiments RENAME TO lost")
        connection.execute("ALTER TABLE workers RENAME TO lost_workers")
    connection.close()
    response = api.get("/experiments")
    body = problem(response, 503)
    assert response.headers["retry-after"]
    assert str(database) not in response.text
    assert "sql" not in body["detail"].lower()
    ready = api.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert api.get("/health/live").status_code == 200


def test_a_full_disk_is_said_as_such_and_the_service_is_not_ready(
    api: Api, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get("/health/ready").json()["disk"]["ok"] is True
    engine = api.store._database._engine

    def no_more(connection: sqlite3.Connection, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "checkout", no_more)
    try:
        answers = [
            api.post("/train", json=config | {"experiment_name": "x" * 60}) for _ in range(9)
        ]
    finally:
        event.remove(engine, "checkout", no_more)
    body = problem(answers[-1], 503)
    assert body["type"].endswith("disk-full")
    assert "disk of the server is full" in body["detail"]
    assert str(api.settings.results_dir) not in answers[-1].text

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tunesmith.api.routes.access.create_token", full)
    body = problem(api.post("/tokens", json={"name": "maria"}), 503)
    assert "disk of the server is full" in body["detail"]
    monkeypatch.setattr("tunesmith.api.routes.health.LEAST_FREE", 1 << 62)
    ready = api.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"], ready.json()["disk"]["ok"]) == (
        503,
        False,
        False,
    )
    assert api.get("/health/live").status_code == 200


def test_a_mistake_of_ours_is_an_id_for_the_client_and_the_rest_is_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings) as api:
        object.__setattr__(api.service, "measurements", None)
        response = api.get("/metrics")
    body = problem(response, 500)
    number = body["detail"].rpartition(" ")[2].rstrip(".")
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)
    assert "NoneType" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"


def test_logs_can_be_json_with_the_experiment_and_no_secret(
    settings: Settings, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_terminal(settings.model_copy(update={"log_format": "json"}), "api")
    with serving(settings) as api:
        id_ = api.post("/train", json=config).json()["task_id"]
        api.as_("ts_00000000_" + "s" * 43).post(f"/experiments/{id_}/cancel?token=hidden")
    lines = capsys.readouterr().err.splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    about = [entry for entry in entries if entry.get("experiment") == id_]
    assert {"POST /train 202", "local: experiment.submit " + id_} <= {e["message"] for e in about}
    assert any(entry["status"] == 401 for entry in about if "status" in entry)
    assert "ssss" not in "".join(lines)
    assert "hidden" not in "".join(lines)


@pytest.fixture
def on_postgres(settings: Settings, postgres: str) -> Iterator[Api]:
    databases = PostgresDatabases(postgres)
    url = databases.create()
    with serving(settings.model_copy(update={"database_url": url})) as api:
        yield api
    databases.drop()


def test_on_postgresql_it_answers_the_same(on_postgres: Api, config: dict[str, Any]) -> None:
    api = on_postgres
    first, second = (api.post("/train", json=config).json() for _ in range(2))
    assert (first["position"], second["position"]) == (1, 2)
    take(api)
    assert api.get(f"/task/{first['task_id']}").json()["status"] == "STARTED"
    add_experiment(api.store, api.settings, "ended", eval_accuracy=0.5)
    page = api.get("/experiments", params={"text": "ended", "min_accuracy": 0.1}).json()
    assert page["total"] == 1
    problem(api.get("/experiments?text=%00"), 422)
    assert api.get("/metrics").status_code == 200
    token = api.post("/tokens", json={"name": "maria"}).json()["token"]
    assert api.as_(token).get("/whoami").json()["name"] == "maria"
    assert api.get("/audit").json()["total"] == 3


def test_an_address_without_a_server_is_no_broker(settings: Settings) -> None:
    with serving(settings.model_copy(update={"redis_port": free_port()})) as api:
        ready = api.get("/health/ready").json()
    assert (ready["ready"], ready["broker"]["ok"]) == (True, False)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_may_be_asked_for_its_head_alone(api: Api, path: str) -> None:
    head = api.head(path)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("action", ["validate", "resolve"])
def test_without_a_token_a_configuration_is_not_even_read(guarded: Api, action: str) -> None:
    nobody = guarded.as_(None)
    problem(nobody.post(f"/configuration/{action}", content=b"{"), 401)


def test_the_schema_by_itself_says_as_the_document_does_that_a_task_may_be_left_out(
    api: Api,
) -> None:
    alone = api.get("/configuration/schema").json()
    document = api.get("/openapi.json").json()["components"]["schemas"]["ExperimentConfig"]
    assert set(alone["required"]) == set(document["required"]) == {"model", "data"}
