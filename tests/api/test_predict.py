"""Asking adapters over the API: in a process beside it, which may die and is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.api.serving import Api, add_experiment, serving
from tests.api.test_train import problem
from tests.serving.conftest import chat_config as chat_config
from tests.serving.conftest import chatter as chatter
from tests.serving.conftest import classifier as classifier
from tests.serving.conftest import reviews_config as reviews_config
from tests.serving.conftest import trained_settings as trained_settings

import tunesmith
from tunesmith.errors import AccessError, DataError, NotFoundError
from tunesmith.experiments import TrainedExperiment
from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.answering_process import Companion
from tunesmith.settings import Settings

GOOD, BAD = "a superb film with a lovely plot", "a dull and awful story"


@pytest.fixture
def trained(trained_settings: Settings) -> Iterator[Api]:
    """The API on the machine that trained them."""
    with serving(trained_settings) as running:
        running.timeout = 120
        yield running


@pytest.mark.slow
def test_texts_rows_and_conversations_are_answered_and_torch_stays_out_of_the_api(
    trained: Api, classifier: TrainedExperiment, chatter: TrainedExperiment
) -> None:
    answered = trained.post(
        f"/experiments/{classifier.id}/predict",
        json={"inputs": [GOOD, {"review": BAD}, " ".join([BAD] * 30)], "base": True},
    )
    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert [a["answer"] for a in body["answers"]] == ["good", "bad", "bad"]
    assert [a["cut"] for a in body["answers"]] == [False, False, True]
    assert sum(body["answers"][0]["probabilities"].values()) == pytest.approx(1)
    assert body["base"] is None
    assert "classifier" in body["base_reason"]
    pid = trained.service.companion.pid
    with tunesmith.Client(f"http://127.0.0.1:{trained.port}") as client:
        client.register_adapter("films", classifier.id)
        client.set_stage("films", 1, "production")
        for reference in ("films", "films@1", "films@production"):
            assert client.predict(reference, [BAD]).answers[0].answer == "bad"
        with pytest.raises(NotFoundError, match="no version of films in staging"):
            client.predict("films@staging", [BAD])
        turns = [{"role": "user", "content": BAD}]
        found = client.predict(chatter.id, [GOOD, {"messages": turns}], base=True, max_new_tokens=3)
        assert [a.answer for a in found.answers] == ["good", "bad"]
        assert found.base is not None
        assert found.answers[0].probabilities is None
        with pytest.raises(DataError, match="input 1: there is no column 'review' among reviw"):
            client.predict(classifier.id, [{"reviw": GOOD}])
    assert trained.service.companion.pid == pid


def test_the_death_of_the_process_is_a_clear_503_and_the_next_request_starts_it_again(
    trained: Api, classifier: TrainedExperiment
) -> None:
    path, asked = f"/experiments/{classifier.id}/predict", {"inputs": [GOOD]}
    assert trained.post(path, json=asked).status_code == 200
    pid = trained.service.companion.pid
    assert pid is not None
    # Stopped, it takes the request and can't answer it; killed then, it dies while it is asked.
    os.kill(pid, signal.SIGSTOP)
    killer = subprocess.Popen(
        [sys.executable, "-c", "import os,sys,time; time.sleep(1); os.kill(int(sys.argv[1]), 9)",
         str(pid)]
    )  # fmt: skip
    answered = trained.post(path, json=asked)
    killer.wait()
    told = problem(answered, 503)
    assert "ended while it answered (signal 9" in told["detail"]
    assert answered.headers["Retry-After"]
    assert trained.post(path, json=asked).json()["answers"][0]["answer"] == "good"
    assert trained.service.companion.pid != pid


def test_the_process_ends_when_idle_and_with_the_api(
    trained_settings: Settings, classifier: TrainedExperiment
) -> None:
    adapter = locate_adapter(classifier.record, trained_settings)
    companion = Companion(trained_settings, idle=0.1)
    companion.answer(adapter, [GOOD])
    pid = companion.pid
    if pid is not None:
        psutil.Process(pid).wait(30)
    companion.close()
    with serving(trained_settings) as running:
        running.timeout = 120
        running.post(f"/experiments/{classifier.id}/predict", json={"inputs": [GOOD]})
        pid = running.service.companion.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": []}, "at least 1"),
        ({"inputs": [GOOD] * 65}, "at most 64"),
        ({"inputs": ["x" * 50_001, {"review": "x" * 50_000}]}, "at most 100,000 are accepted"),
        ({"inputs": [GOOD], "max_new_tokens": 0}, "greater than or equal to 1"),
        ({"inputs": [GOOD], "bse": True}, "extra inputs"),
    ],
)
def test_what_is_out_of_bounds_is_refused_before_anything_is_loaded(
    api: Api, body: dict[str, Any], said: str
) -> None:
    experiment = add_experiment(api.store, api.settings)
    told = problem(api.post(f"/experiments/{experiment.id}/predict", json=body), 422)
    assert said in told["detail"]
    assert api.service.companion.pid is None


def test_what_has_not_succeeded_is_409_and_what_has_no_adapter_404(api: Api) -> None:
    running = add_experiment(api.store, api.settings, status=ExperimentStatus.RUNNING)
    told = problem(api.post(f"/experiments/{running.id}/predict", json={"inputs": [GOOD]}), 409)
    assert "it is being trained" in told["detail"]
    bare = add_experiment(api.store, api.settings)
    problem(api.post(f"/experiments/{bare.id}/predict", json={"inputs": [GOOD]}), 404)
    problem(api.post(f"/experiments/{'0' * 12}/predict", json={"inputs": [GOOD]}), 404)


def test_a_viewer_may_ask_and_a_stranger_may_not(
    guarded: Api, classifier: TrainedExperiment
) -> None:
    guarded.store.create(replace(classifier.record, owner="somebody"))
    viewer = guarded.as_(guarded.token("eyes", Role.VIEWER))
    viewer.timeout = 120
    path = f"/experiments/{classifier.id}/predict"
    assert viewer.post(path, json={"inputs": [GOOD]}).status_code == 200
    problem(guarded.as_(None).post(path, json={"inputs": [GOOD]}), 401)


def test_the_base_model_is_fetched_from_the_hub_for_members_and_never_for_viewers(
    guarded: Api, classifier: TrainedExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.store.create(classifier.record)
    asked = []

    def refuse(adapter: SavedAdapter, *_: Any, **__: Any) -> Any:
        asked.append(adapter.may_fetch)
        raise AccessError("some reason")

    monkeypatch.setattr(guarded.service.companion, "answer", refuse)
    for role in (Role.VIEWER, Role.MEMBER, Role.ADMIN):
        who = guarded.as_(guarded.token(f"some-{role}", role))
        path = f"/experiments/{classifier.id}/predict"
        problem(who.post(path, json={"inputs": [GOOD]}), 403)
    assert asked == [False, True, True]


def test_a_model_with_code_of_its_own_is_not_run_for_the_network(
    api: Api, classifier: TrainedExperiment
) -> None:
    config = dict(classifier.record.config)
    config["model"] = {**config["model"], "trust_remote_code": True}
    api.store.create(replace(classifier.record, config=config))
    path = f"/experiments/{classifier.id}/predict"
    assert "tunesmith predict" in problem(api.post(path, json={"inputs": [GOOD]}), 403)["detail"]
    assert api.service.companion.pid is None


def test_the_api_itself_does_not_load_torch() -> None:
    code = "import sys, tunesmith.api.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert Path(tunesmith.__file__).is_file()
