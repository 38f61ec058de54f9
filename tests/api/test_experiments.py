"""Experiments over the API: listed, filtered, changed, deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import Api, add_experiment
from tests.api.test_train import problem, take
from tests.store.records import NOON

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.tables import experiments
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.queries.rows import experiment_row


@pytest.fixture
def three(api: Api) -> list[str]:
    """Three experiments that ended, the best first."""
    values = [("best", 0.9, 10.0), ("middle", 0.7, 20.0), ("worst", 0.5, 30.0)]
    return [
        add_experiment(
            api.store, api.settings, name, eval_accuracy=accuracy, train_runtime=runtime
        ).id
        for name, accuracy, runtime in values
    ]


def names(api: Api, **filters: Any) -> list[str]:
    response = api.get("/experiments", params=filters)
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["items"]]


def test_a_list_has_its_total_whatever_its_limit(api: Api, three: list[str]) -> None:
    body = api.get("/experiments", params={"limit": 1, "offset": 1}).json()
    assert (body["total"], body["limit"], body["offset"], len(body["items"])) == (3, 1, 1, 1)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"name": "IDD"}, {"middle"}),
        ({"min_accuracy": 0.6}, {"best", "middle"}),
        ({"max_runtime": 20}, {"best", "middle"}),
        ({"status": "failed"}, set()),
        ({"model": "some", "dataset": "REVIEWS"}, {"best", "middle", "worst"}),
        ({"text": "wor reviews"}, {"worst"}),
        ({"owner": "nobody"}, set()),
        ({"start_date": "2001-01-01"}, {"best", "middle", "worst"}),
        ({"end_date": "2001-01-01T00:00:00+08:00"}, set()),
        ({"name": "' OR '1'='1"}, set()),
        ({"name": "%"}, set()),
    ],
)
def test_filters_pick_experiments(
    api: Api, three: list[str], filters: dict[str, Any], expected: set[str]
) -> None:
    assert set(names(api, **filters)) == expected


def test_lists_are_sorted_as_asked(api: Api, three: list[str]) -> None:
    assert names(api, sort_by="eval_accuracy") == ["worst", "middle", "best"]
    assert names(api, sort_by="train_runtime", desc=True) == ["worst", "middle", "best"]
    assert names(api) == ["worst", "middle", "best"]


def test_a_day_is_the_servers_and_as_the_last_one_counts_to_its_end(api: Api) -> None:
    late = datetime(2026, 1, 31, 23, 59, 30, tzinfo=api.settings.timezone)
    add_experiment(api.store, api.settings, "late", created_at=late)
    assert api.settings.timezone.utcoffset(late) != timedelta(0)
    assert names(api, start_date="2026-01-31", end_date="2026-01-31") == ["late"]
    assert names(api, end_date="2026-01-30") == names(api, start_date="2026-02-01") == []
    assert names(api, end_date="2026-01-31T23:59:00") == []
    assert names(api, start_date="2026-01-31T23:59:00", end_date="2026-01-31T23:59:59") == ["late"]
    assert names(api, end_date="2026-01-31T15:59:29Z") == []
    assert names(api, end_date="2026-01-31T15:59:30Z") == ["late"]


@pytest.mark.parametrize(
    "query",
    ["sort_by=colour", "limit=0", "limit=x", "offset=-1", "min_accuracy=nan", "max_runtime=inf",
     "status=done", "name=%00", "start_date=yesterday", "offset=99999999999999999999",
     "desc=perhaps", "end_date=2026-02-31", "start_date=0001-01-01T00:00:00%2B14:00",
     "end_date=9999-12-31T23:59:59-12:00"],
)  # fmt: skip
def test_a_wrong_filter_is_named_with_its_value(api: Api, query: str) -> None:
    body = problem(api.get(f"/experiments?{query}"), 422)
    assert [error["field"] for error in body["errors"]] == [query.partition("=")[0]]


def test_statistics_count_by_status(api: Api, three: list[str]) -> None:
    body = api.get("/experiments/stats").json()
    assert body["total"] == 3
    assert body["by_status"]["succeeded"] == 3
    assert body["by_status"]["queued"] == 0
    assert (body["best_accuracy"], body["total_runtime"], body["mean_runtime"]) == (0.9, 60, 20)


def test_one_experiment_comes_whole_and_without_its_lease(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    take(api)
    response = api.get(f"/experiments/{id_}")
    body = response.json()
    assert body["config"]["model"]["name"] == "some/model"
    assert body["status"] == "running"
    assert '"lease"' not in response.text


def test_a_waiting_experiment_is_cancelled_at_once_and_can_be_retried(
    api: Api, config: dict[str, Any]
) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    assert api.post(f"/experiments/{id_}/cancel").json()["status"] == "REVOKED"
    problem(api.post(f"/experiments/{id_}/cancel"), 409)
    assert api.post(f"/experiments/{id_}/retry").json()["status"] == "PENDING"
    problem(api.post(f"/experiments/{id_}/resume"), 409)


def test_a_running_experiment_is_asked_to_stop(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    take(api)
    body = api.post(f"/experiments/{id_}/cancel").json()
    assert (body["status"], body["cancelling"]) == ("STARTED", True)
    assert api.store.get(id_).cancel_requested_at is not None


def test_a_rerun_is_a_new_experiment_with_the_same_configuration(
    api: Api, config: dict[str, Any]
) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    new = api.post(f"/experiments/{id_}/rerun")
    assert new.status_code == 202
    other = new.json()["experiment_id"]
    assert other != id_
    assert api.store.get(other).config == api.store.get(id_).config


def test_priority_and_front_change_who_is_next(api: Api, config: dict[str, Any]) -> None:
    first, second, third = (api.post("/train", json=config).json()["task_id"] for _ in range(3))
    raised = api.put(f"/experiments/{third}/priority", json={"priority": 7})
    assert raised.json()["position"] == 1
    assert api.post(f"/experiments/{second}/front").json()["position"] == 1
    waiting = [line["id"] for line in api.get("/queue").json()["waiting"]]
    assert waiting == [second, third, first]
    rest = api.get("/queue", params={"limit": 1, "offset": 2}).json()["waiting"]
    assert [(line["id"], line["position"]) for line in rest] == [(first, 3)]


def test_the_first_in_line_are_listed_however_many_wait(api: Api) -> None:
    rows = (
        Experiment(
            name=f"number {n}", task="sft", model_name="m", dataset_name="d", queue="cpu", rank=n,
            created_at=NOON + timedelta(seconds=n),
        )
        for n in range(10_060)
    )  # fmt: skip
    with api.store._database.writing() as connection:  # in one transaction: they are many
        connection.execute(experiments.insert(), [experiment_row(row) for row in rows])
    waiting = api.get("/queue").json()["waiting"]
    assert [line["name"] for line in waiting] == [f"number {n}" for n in range(50)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"priority": 101},
        {"priority": "5"},
        {"priority": True},
        {"priority": 1.5},
        {"priority": 1, "x": 2},
    ],
)
def test_a_priority_that_is_none_is_refused(
    api: Api, config: dict[str, Any], body: dict[str, Any]
) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    problem(api.put(f"/experiments/{id_}/priority", json=body), 422)


def test_only_what_waits_can_be_moved(api: Api, three: list[str]) -> None:
    problem(api.post(f"/experiments/{three[0]}/front"), 409)
    problem(api.put(f"/experiments/{three[0]}/priority", json={"priority": 1}), 409)


def test_deleting_needs_the_name_and_takes_the_files_too(api: Api, three: list[str]) -> None:
    directory = Path(str(api.store.get(three[0]).directory))
    problem(api.delete(f"/experiments/{three[0]}"), 422)
    problem(api.delete(f"/experiments/{three[0]}", params={"confirm": "worst"}), 422)
    assert directory.is_dir()
    gone = api.delete(f"/experiments/{three[0]}", params={"confirm": "best"})
    assert gone.json() == {"id": three[0], "files_deleted": True}
    assert not directory.exists()
    problem(api.get(f"/experiments/{three[0]}"), 404)


def test_a_live_experiment_is_not_deleted(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    problem(api.delete(f"/experiments/{id_}", params={"confirm": "reviews"}), 409)
    take(api)
    problem(api.delete(f"/experiments/{id_}", params={"confirm": "reviews"}), 409)


def test_name_note_and_tags_are_changed_found_and_written_down(api: Api, three: list[str]) -> None:
    changed = api.patch(f"/experiments/{three[0]}", json={"note": "Größer", "tags": ["Gold", "a"]})
    assert (changed.json()["note"], changed.json()["tags"]) == ("Größer", ["a", "Gold"])
    api.patch(f"/experiments/{three[1]}", json={"name": "other", "tags": ["gold"], "note": None})
    assert names(api, tag="GOLD") == ["other", "best"]
    assert names(api, tag=["gold", "a"]) == names(api, text="größer") == ["best"]
    assert api.get("/experiments/tags").json()["items"][0] == {"tag": "Gold", "experiments": 2}
    assert api.get(f"/experiments/{three[0]}").json()["tags"] == ["a", "Gold"]
    assert Path(api.get(f"/experiments/{three[1]}").json()["directory"]).name.startswith("middle")
    api.patch(f"/experiments/{three[1]}", json={})
    entries = api.get("/audit", params={"target": three[1]}).json()["items"]
    assert [(entry["action"], entry["details"]) for entry in entries] == [
        ("experiment.edit", {"changed": ["name", "tags"], "name": "other", "was": "middle"})
    ]


def test_an_edit_that_is_wrong_changes_nothing_and_every_problem_is_named(
    api: Api, three: list[str]
) -> None:
    wrong = {"name": "../x", "tags": ["", "ok"], "note": "why", "tag": []}
    body = problem(api.patch(f"/experiments/{three[0]}", json=wrong), 422)
    assert [error["field"] for error in body["errors"]] == ["name", "tags.0", "tag"]
    assert api.get(f"/experiments/{three[0]}").json()["note"] == ""
    problem(api.patch(f"/experiments/{'0' * 12}", json={"note": "why"}), 404)


@pytest.mark.parametrize("action", ["cancel", "resume", "retry", "rerun", "front"])
def test_nothing_can_be_done_to_what_is_not_there(api: Api, action: str) -> None:
    problem(api.post(f"/experiments/{'0' * 12}/{action}"), 404)
    problem(api.post(f"/experiments/nonsense/{action}"), 404)


def test_what_is_not_an_address_is_a_problem_too(api: Api) -> None:
    problem(api.get("/nothing/here"), 404)
    wrong = api.put("/train", json={})
    problem(wrong, 405)
    assert wrong.headers["allow"] == "POST"


def test_a_failed_experiment_says_why(api: Api) -> None:
    failed = add_experiment(
        api.store, api.settings, status=ExperimentStatus.FAILED, reason="The disk is full."
    )
    assert api.get(f"/task/{failed.id}").json()["reason"] == "The disk is full."
