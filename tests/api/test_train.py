"""Submitting, and asking how far it is."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.api.serving import Api, add_experiment, free_port, serving

from tunesmith.jobs.broker import EmbeddedBroker
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem details of a response that should have this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["detail"]
    assert "Traceback" not in response.text
    return body


def test_a_submitted_experiment_waits_in_the_store_and_says_its_place(
    api: Api, config: dict[str, Any]
) -> None:
    first = api.post("/train", json=config)
    second = api.post("/train", json=config | {"job": {"priority": 5}})
    assert first.status_code == second.status_code == 202
    body = first.json()
    assert body["task_id"] == body["experiment_id"]
    assert (body["status"], body["position"], body["queue"]) == ("PENDING", 1, "cpu")
    assert second.json()["position"] == 1
    assert api.get(f"/task/{body['task_id']}").json()["position"] == 2
    assert api.store.get(body["experiment_id"]).status is ExperimentStatus.QUEUED


def test_without_a_broker_submitting_works_and_the_answer_says_so(
    api: Api, config: dict[str, Any]
) -> None:
    broker = api.post("/train", json=config).json()["broker"]
    assert broker["live"] is False
    assert "can't be reached" in broker["message"]


def test_with_a_broker_workers_are_told(settings: Settings, config: dict[str, Any]) -> None:
    with (
        EmbeddedBroker(free_port()) as broker,
        serving(settings.model_copy(update={"redis_port": broker.port})) as api,
    ):
        assert api.post("/train", json=config).json()["broker"]["live"] is True
        api.service.notifier.close()
        assert api.service.notifier.waiting("cpu")
        assert api.get("/health/ready").json()["broker"]["ok"] is True


def test_every_problem_of_a_configuration_is_listed_with_its_field(
    api: Api, config: dict[str, Any]
) -> None:
    config["lora"] = {"rr": 8, "lora_alpha": 0}
    config["training"] = {"eval_strategy": "epochs"}
    body = problem(api.post("/train", json=config), 422)
    found = {error["field"]: error for error in body["errors"]}
    assert found.keys() == {"lora.rr", "lora.lora_alpha", "training.eval_strategy"}
    assert found["lora.rr"]["suggestion"] == "r"
    assert found["training.eval_strategy"]["value"] == "epochs"
    assert "epoch" in found["training.eval_strategy"]["accepted"]


@pytest.mark.parametrize("field", ["model.name", "data.dataset_name"])
@pytest.mark.parametrize("name", ["a" * 300, "a" * 255 + "@1", "a" * 300 + ".csv", "a" * 1001])
def test_a_name_that_no_disk_can_hold_is_no_mistake_of_the_api(
    api: Api, config: dict[str, Any], field: str, name: str
) -> None:
    section, _, key = field.partition(".")
    config[section] = {key: name}
    assert api.post("/train", json=config).status_code in (202, 422)
    assert api.post("/configuration/validate", json=config).status_code == 200


def test_a_name_too_long_for_a_folder_is_a_problem_of_its_field(
    api: Api, config: dict[str, Any]
) -> None:
    config["experiment_name"] = "評" * 66
    assert api.post("/train", json=config).status_code == 202
    config["experiment_name"] = "評" * 67
    (error,) = problem(api.post("/train", json=config), 422)["errors"]
    assert error["field"] == "experiment_name"
    assert "200 bytes" in error["message"]


def test_contradictions_and_an_unknown_predecessor_are_problems_too(
    api: Api, config: dict[str, Any]
) -> None:
    config["model"] |= {"load_in_4bit": True, "load_in_8bit": True}
    body = problem(api.post("/train", json=config, params={"runs_after": "0" * 12}), 422)
    assert {error["field"] for error in body["errors"]} == {"model.load_in_8bit", "runs_after"}
    problem(api.post("/train", json=config, params={"runs_after": "x' OR 1=1"}), 422)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.csv", "~/data.csv", "./.hidden.csv", "data.csv\0.png"]
)
def test_paths_outside_of_the_data_folder_are_refused(
    api: Api, config: dict[str, Any], name: str
) -> None:
    config["data"]["dataset_name"] = name
    config["model"]["name"] = "/etc"
    body = problem(api.post("/train", json=config), 422)
    assert {error["field"] for error in body["errors"]} == {"data.dataset_name", "model.name"}
    assert not api.store.list()


def test_a_link_out_of_the_data_folder_leads_nowhere(api: Api, config: dict[str, Any]) -> None:
    (api.settings.data_dir / "innocent.csv").symlink_to("/etc/passwd")
    config["data"]["dataset_name"] = str(api.settings.data_dir / "innocent.csv")
    body = problem(api.post("/train", json=config), 422)
    assert body["errors"][0]["field"] == "data.dataset_name"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"model": NaN}',
        b'{"model": {"name": "\\ud800"}}',
        b'{"a":' * 50_000,
        b'{"lora": {"r": ' + b"9" * 5000 + b"}}",
        b"\xff\xfe",
    ],
)
def test_json_with_traps_is_one_clear_problem(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem(api.post("/train", content=body, headers=headers), 422)


@pytest.mark.parametrize(
    "field",
    [
        ("experiment_name", "<script>alert(1)</script>"),
        ("experiment_name", "'; DROP TABLE experiments; --"),
        ("experiment_name", "../../escape"),
        ("experiment_name", "nul\0"),
        ("experiment_name", "x" * 100_000),
    ],
)
def test_names_that_are_no_names_are_refused(
    api: Api, config: dict[str, Any], field: tuple[str, str]
) -> None:
    body = problem(api.post("/train", json=config | dict([field])), 422)
    assert body["errors"][0]["field"] == "experiment_name"
    assert len(body["detail"]) < 1000


def test_html_in_a_model_name_comes_back_as_plain_json(api: Api, config: dict[str, Any]) -> None:
    config["model"]["name"] = "<img src=x onerror=alert(1)>"
    response = api.post("/train", json=config)
    assert response.status_code in (202, 422)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "json" in response.headers["content-type"]


def test_a_body_of_another_type_is_not_read(api: Api) -> None:
    problem(api.post("/train", content=b"a: b", headers={"Content-Type": "text/plain"}), 415)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (ExperimentStatus.QUEUED, "PENDING"),
        (ExperimentStatus.SUCCEEDED, "SUCCESS"),
        (ExperimentStatus.FAILED, "FAILURE"),
        (ExperimentStatus.CANCELLED, "REVOKED"),
    ],
)
def test_a_task_has_the_status_words_of_task_queues(
    api: Api, status: ExperimentStatus, word: str
) -> None:
    experiment = add_experiment(
        api.store, api.settings, status=status, metrics={"eval_accuracy": 0.9}, queue="cpu"
    )
    body = api.get(f"/task/{experiment.id}").json()
    assert body["status"] == word
    assert body["result"] == ({"eval_accuracy": 0.9} if word == "SUCCESS" else None)


def test_a_running_task_tells_phase_progress_and_time_left(
    api: Api, config: dict[str, Any]
) -> None:
    api.post("/train", json=config)
    taken = take(api)
    changes = {"phase": "training", "progress": 0.25, "time_left": 90.0}
    api.store.queue.write(taken.id, "lease", **changes)
    body = api.get(f"/task/{taken.id}").json()
    assert body["status"] == "STARTED"
    assert changes.items() <= body.items()


@pytest.mark.parametrize(
    "id_", ["0" * 12, "latest", "../x", "%00", "%F0%28", "a" * 5000, "1 OR 1=1"]
)
def test_unknown_and_forged_ids_are_not_found(api: Api, id_: str) -> None:
    problem(api.get(f"/task/{id_}"), 404)
    problem(api.get(f"/experiments/{id_}"), 404)


def test_what_did_not_change_is_not_sent_again(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    for path in (f"/task/{id_}", f"/experiments/{id_}", "/experiments", "/queue"):
        tag = api.get(path).headers["etag"]
        again = api.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["etag"] == tag
    api.post(f"/experiments/{id_}/cancel")
    changed = api.get(f"/task/{id_}", headers={"If-None-Match": tag})
    assert changed.json()["status"] == "REVOKED"


def test_everything_that_a_page_asks_for_again_has_a_tag(api: Api) -> None:
    experiment = add_experiment(api.store, api.settings)
    inside = f"/experiments/{experiment.id}"
    for path in (
        f"{inside}/metrics", f"{inside}/logs", f"{inside}/logs?tail=2", f"{inside}/files",
        "/experiments/stats", "/workers", "/datasets",
    ):  # fmt: skip
        tag = api.get(path).headers["etag"]
        assert api.get(path, headers={"If-None-Match": tag}).status_code == 304, path


def take(api: Api) -> Experiment:
    """Take the next experiment, as a worker does."""
    taken = api.store.queue.take(
        ["cpu"], lease="lease", worker="w", host="elsewhere", phase="preparing data"
    )
    assert taken is not None
    return taken
