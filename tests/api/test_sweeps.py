"""Sweeps over the API; nothing is trained, and nobody drives them but the API itself."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.serving import Api
from tests.api.test_train import problem

import tunesmith
from tunesmith.errors import AccessError, NotFoundError, StateError
from tunesmith.schemas.enums import ExperimentStatus, SweepStatus


@pytest.fixture
def asked(config: dict[str, Any]) -> dict[str, Any]:
    """A small sweep."""
    return {
        "sweep_name": "ranks",
        "base": config,
        "parameters": {"lora.r": {"choices": [4, 8]}},
        "sampler": "grid",
    }


def test_a_sweep_is_begun_listed_read_and_cancelled(api: Api, asked: dict[str, Any]) -> None:
    with tunesmith.Client(str(api.base_url)) as client:
        begun = client.begin_sweep(asked)
        assert (begun.name, begun.total, begun.metric) == ("ranks", 2, "accuracy")
        (trial,) = begun.trials
        assert trial.parameters == {"lora.r": 8}  # the base configuration's own first
        assert trial.is_baseline
        experiment = client.experiment(trial.experiments[0])
        assert (experiment.name, experiment.status) == ("ranks-0", ExperimentStatus.QUEUED)
        assert [each.id for each in client.sweeps().items] == [begun.id]
        whole = client.sweep(begun.id)
        assert (whole.best, whole.verdict, whole.importance) == (None, None, {})
        assert client.cancel_sweep(begun.id).status is SweepStatus.CANCELLED
        assert client.experiment(experiment.id).status is ExperimentStatus.CANCELLED
        with pytest.raises(StateError, match="is cancelled"):
            client.cancel_sweep(begun.id)
        with pytest.raises(NotFoundError):
            client.sweep("000000000000")


def test_every_problem_of_a_sweep_is_in_the_answer_and_files_are_not_read(
    api: Api, asked: dict[str, Any]
) -> None:
    wrong = {**asked, "parameters": {"lora.rr": {"choices": [4]}}, "base": {**asked["base"]}}
    wrong["base"]["training"] = {"learning_rate": 3}
    body = problem(api.post("/sweeps", json=wrong), 422)
    fields = {each["field"] for each in body["errors"]}
    assert fields == {"parameters.lora.rr", "base.training.learning_rate"}
    body = problem(api.post("/sweeps", json={**asked, "base": "config/default.yaml"}), 422)
    assert "files are read from disk only" in str(body["errors"])
    outside = {**asked["base"], "data": {"dataset_name": "/etc/passwd"}}
    body = problem(api.post("/sweeps", json={**asked, "base": outside}), 422)
    assert body["errors"][0]["field"].endswith("data.dataset_name")
    assert api.store.sweeps.list() == []


def test_only_its_owner_and_admins_cancel_a_sweep(guarded: Api, asked: dict[str, Any]) -> None:
    url = str(guarded.base_url)
    with tunesmith.Client(url, guarded.token("ada")) as ada:
        begun = ada.begin_sweep(asked)
        assert begun.owner == "ada"
        with (
            tunesmith.Client(url, guarded.token("bob")) as bob,
            pytest.raises(AccessError, match="only sweeps of their own"),
        ):
            bob.cancel_sweep(begun.id)
        assert ada.cancel_sweep(begun.id).status is SweepStatus.CANCELLED
