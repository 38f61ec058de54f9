"""Messages on their ways, through errors, HTTP, files and the store: they stay messages."""

from __future__ import annotations

import json
import pickle
import sqlite3
from dataclasses import asdict
from pathlib import Path

import httpx2
import pytest
from tests.store.records import experiment

from tunesmith.api.http.problems import error_response
from tunesmith.client.connection import error_of
from tunesmith.errors import (
    ConfigError,
    DataError,
    NotFoundError,
    Problem,
    TooManyAttemptsError,
    TunesmithError,
    listed,
)
from tunesmith.files.folder import ExperimentFolder
from tunesmith.messages import Message, say, say_plural
from tunesmith.messages.catalogues import translated
from tunesmith.schemas.experiments import ExperimentWhole
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Filters
from tunesmith.store.store import Store

WHY = say("{path} holds {rows}", path="/srv/a.csv", rows=say_plural("{n} row", "{n} rows", n=2))


def parts(text: object) -> object:
    """What a message is made of; it must be one."""
    assert isinstance(text, Message)
    return text.to_json()


@pytest.mark.parametrize("error", [DataError(WHY), TooManyAttemptsError(WHY, 3)])
def test_an_error_keeps_its_message_in_another_process(error: TunesmithError) -> None:
    other = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, just made
    assert parts(str(other)) == parts(WHY)


def test_every_part_of_a_problem_is_a_message() -> None:
    problem = Problem("lora.r", say("unknown field"), 1, say("at least {n}", n=2), "rr", "a.yaml:3")
    assert str(problem) == "a.yaml:3 lora.r: unknown field; got 1; accepted: at least 2; did you " \
        "mean rr?"  # fmt: skip
    said = translated(str(ConfigError([problem])), "zh_TW")
    assert said.startswith("a.yaml:3 lora.r")
    assert not any(word in said for word in ("unknown", "got", "accepted", "least", "mean"))


def answered(error: TunesmithError, settings: Settings | None = None) -> TunesmithError:
    """The error that the client raises for what the API answers to `error`."""
    response = error_response(error, "/train", settings)
    request = httpx2.Request("POST", "http://127.0.0.1/train")
    content = bytes(response.body)
    return error_of(httpx2.Response(response.status_code, content=content, request=request))


def test_the_client_raises_what_the_api_refused_with_its_message() -> None:
    other = answered(NotFoundError(WHY))
    assert isinstance(other, NotFoundError)
    assert parts(str(other)) == parts(WHY)


def test_the_client_raises_problems_with_their_messages() -> None:
    given = Problem("lora.r", WHY, "x", say("at least {n}", n=2))
    other = answered(ConfigError([given]))
    assert isinstance(other, ConfigError)
    [problem] = other.problems
    assert (parts(problem.message), parts(problem.accepted)) == (parts(WHY), parts(given.accepted))


def test_folders_of_the_server_are_left_out_of_the_values_too() -> None:
    other = answered(
        DataError(WHY), Settings.read().model_copy(update={"results_dir": Path("/srv")})
    )
    assert str(other) == "…/a.csv holds 2 rows"
    assert "/srv" not in json.dumps(parts(str(other)))


def test_clients_of_before_read_plain_english() -> None:
    body = json.loads(bytes(error_response(DataError(WHY)).body))
    assert body["detail"] == "/srv/a.csv holds 2 rows"
    assert body["messages"]["/detail"] == parts(WHY)


def whole() -> Experiment:
    return experiment(
        reason=WHY, plan={"choices": [{"setting": "device", "reason": WHY}]},
        metrics={"ending": {"notes": [WHY]}},
    )  # fmt: skip


def test_the_store_keeps_messages_in_texts_and_documents(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/a.db") as store:
        made = whole()
        store.create(made)
        found = store.get(made.id)
    assert parts(found.reason) == parts(WHY)
    assert parts(found.plan["choices"][0]["reason"]) == parts(WHY)
    assert parts(found.metrics["ending"]["notes"][0]) == parts(WHY)


def test_a_message_is_found_by_its_text_and_by_nothing_else(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/a.db") as store:
        store.create(whole())
        found = {word: store.list(Filters(text=word)) for word in ("holds 2", "template", "plural")}
    assert [word for word, rows in found.items() if rows] == ["holds 2"]


def test_texts_of_before_stay_as_they_are_in_the_store(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/a.db") as store:
        made = whole()
        store.create(made)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE experiments SET reason = 'Stopped {by} the user.'")
    with Store(f"sqlite:///{tmp_path}/a.db") as store:
        assert store.get(made.id).reason == "Stopped {by} the user."


def test_an_experiments_record_is_readable_and_gives_messages_back(tmp_path: Path) -> None:
    files = ExperimentFolder(tmp_path)
    files.write_record(whole())
    assert json.loads(files.record.read_text())["reason"] == WHY
    found = files.read_record()
    assert (parts(found.reason), parts(found.metrics["ending"]["notes"][0])) == (parts(WHY),) * 2


def test_what_the_api_gives_is_plain_for_all_and_messages_for_the_client() -> None:
    given = ExperimentWhole.model_validate({**asdict(whole()), "tags": []})
    body = given.model_dump_json()
    assert json.loads(body)["reason"] == "/srv/a.csv holds 2 rows"
    found = ExperimentWhole.model_validate_json(body)
    assert parts(found.reason) == parts(WHY)
    assert parts(found.plan["choices"][0]["reason"]) == parts(WHY)


def test_names_are_listed_as_the_language_does() -> None:
    names = listed([f"n{number}" for number in range(25)])
    assert names.endswith("n18, n19 and 5 more")
    assert "n18、n19" in translated(names, "zh_TW")
