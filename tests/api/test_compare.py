"""Experiments compared over the API: trained ones, and every reason why two can't be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import Api, serving
from tests.api.test_train import problem
from tests.store.records import change

import tunesmith
from tunesmith.errors import ConfigError, NotFoundError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.writing import write_lines
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, utc_now

Body = dict[str, Any]


def add(
    api: Api,
    name: str,
    correct: list[bool],
    *,
    metric: str = "accuracy",
    evaluation: str = "sha256:same",
    expected: str = "good",
    status: ExperimentStatus = ExperimentStatus.SUCCEEDED,
    dataset: str = "reviews.csv",
    **config: Any,
) -> Experiment:
    """Record an experiment with these answers, as if it had been trained."""
    files = ExperimentFolder.create(api.settings.results_dir, name, utc_now())
    share = sum(correct) / len(correct)
    done = status is ExperimentStatus.SUCCEEDED
    interval = {"low": share - 0.2, "high": share + 0.2, "level": 0.95, "method": "Wilson"}
    experiment = Experiment(
        name=name, status=status, task="text-classification", model_name="some/model",
        dataset_name=dataset, directory=str(files.path), dataset_hash="sha256:all",
        config={"experiment_name": name, "lora": {"r": 8, "dropout": 0.1},
                "training": {"seed": 1}, **config},
        data={"splits": {"train": {"rows": 90}, "evaluation": {
            "rows": len(correct), "hash": evaluation}}},
        score_name=metric if done else None, score=share if done else None,
        metrics={"score": {"interval": {**interval, "rows": len(correct)}}},
    )  # fmt: skip
    if done:
        answers = enumerate(correct, 1)
        write_lines(
            files.predictions,
            ({"row": n, "expected": expected, "correct": right} for n, right in answers),
        )
    api.store.create(experiment)
    return experiment


def compared(api: Api, *experiments: Experiment) -> Body:
    response = api.get("/experiments/compare", params={"id": [e.id for e in experiments]})
    assert response.status_code == 200, response.text
    body: Body = response.json()
    return body


def only_pair(api: Api, *experiments: Experiment) -> Body:
    (pair,) = compared(api, *experiments)["pairs"]
    assert isinstance(pair, dict)
    return pair


def right(count: int, rows: int = 100) -> list[bool]:
    return [number < count for number in range(rows)]


@pytest.mark.timeout(300)
def test_trained_experiments_are_compared_and_their_seeds_grouped(
    api: Api, classification: Body
) -> None:
    def trained(epochs: int = 5, seed: int = 1, split: int = 42) -> Experiment:
        asked = {
            **classification,
            "data": {**classification["data"], "split_seed": split},
            "training": {**classification["training"], "num_train_epochs": epochs, "seed": seed},
        }
        if epochs == 1:
            asked["training"]["learning_rate"] = 1e-7
        return api.store.get(tunesmith.train(asked, settings=api.settings).id)

    untaught, first, second, other_rows = (
        trained(epochs=1), trained(), trained(seed=2), trained(split=7),
    )  # fmt: skip
    body = compared(api, untaught, first, second, other_rows)
    assert [line["interval"]["rows"] for line in body["experiments"]] == [40] * 4
    verdicts = [pair["verdict"] for pair in body["pairs"]]
    assert verdicts == ["better", "better", "not comparable"]
    assert body["pairs"][2]["obstacle"] == "other_rows"
    assert "different evaluation rows" in body["pairs"][2]["explanation"]
    scores = [line["score"] for line in body["experiments"]]
    assert body["pairs"][0]["difference"] == pytest.approx(scores[1] - scores[0])
    assert {field["field"] for field in body["config"]} == {
        "data.split_seed", "training.learning_rate", "training.num_train_epochs", "training.seed",
    }  # fmt: skip
    assert body["environment"] == []
    assert "splits.evaluation.hash" in {field["field"] for field in body["data"]}
    (group,) = body["seeds"]
    assert (group["experiment_ids"], group["seeds"]) == ([first.id, second.id], [1, 2])
    with tunesmith.Client(f"http://127.0.0.1:{api.port}") as client:
        found = client.compare_experiments([untaught.id, first.id])
        assert found.pairs[0].verdict == "better"
        # Three were judged by these rows: the verdict allows for both comparisons with the first.
        assert found.looks == 3
        assert found.pairs[0].adjusted_p_value == 2 * (found.pairs[0].p_value or 0.0)
        with pytest.raises(NotFoundError):
            client.compare_experiments([untaught.id, "0" * 12])
        with pytest.raises(ConfigError, match="twice"):
            client.compare_experiments([untaught.id, untaught.id])


def test_a_difference_that_may_be_luck_says_how_many_rows_would_tell(api: Api) -> None:
    pair = only_pair(api, add(api, "first", right(70)), add(api, "second", right(74)))
    assert (pair["verdict"], pair["won"], pair["lost"]) == ("not distinguishable", 4, 0)
    assert pair["won_rows"] == [71, 72, 73, 74]
    assert pair["interval"]["low"] < 0.04 < pair["interval"]["high"]
    assert pair["rows_needed"] > 100
    assert f"about {pair['rows_needed']:,} evaluation rows in all" in pair["explanation"]
    assert "too few for any test" in pair["explanation"]


def test_a_worse_one_is_called_worse_and_an_equal_one_has_nothing_to_find(api: Api) -> None:
    first = add(api, "first", right(90))
    assert only_pair(api, first, add(api, "worse", right(70)))["verdict"] == "worse"
    equal = only_pair(api, first, add(api, "equal", right(90)))
    assert (equal["verdict"], equal["p_value"], equal["rows_needed"]) == (
        "not distinguishable", 1.0, None,
    )  # fmt: skip
    assert "no difference to find" in equal["explanation"]


def test_of_many_comparisons_each_must_be_surer(api: Api) -> None:
    first = add(api, "first", right(70))
    lucky = add(api, "lucky", right(75))  # five rows, all on one side: p = 0.031
    assert only_pair(api, first, lucky)["verdict"] == "better"
    more = [add(api, f"more-{number}", right(71)) for number in range(3)]
    pair = compared(api, first, lucky, *more)["pairs"][0]
    assert pair["adjusted_p_value"] == pytest.approx(4 * pair["p_value"])
    assert pair["verdict"] == "not distinguishable"
    assert "4 comparisons (Holm)" in pair["explanation"]


def test_what_cannot_be_compared_says_why_and_gives_no_number(api: Api) -> None:
    first = add(api, "first", right(70))
    relabelled = add(api, "relabelled", right(70), expected="fine")
    lost = add(api, "lost", right(80))
    ExperimentFolder(Path(str(lost.directory))).predictions.unlink()
    damaged = add(api, "damaged", right(80))
    ExperimentFolder(Path(str(damaged.directory))).predictions.write_text('{"row": 1}\n')
    weighted = add(api, "weighted", right(80))
    change(api.store, weighted.id, score=0.6)
    body = compared(
        api,
        first,
        add(api, "elsewhere", right(70), evaluation="sha256:other"),
        add(api, "chat", right(70), metric="exact_match"),
        add(api, "waiting", right(70), status=ExperimentStatus.QUEUED),
        add(api, "failed", right(70), status=ExperimentStatus.FAILED),
        relabelled, lost, damaged, weighted,
    )  # fmt: skip
    assert [pair["obstacle"] for pair in body["pairs"]] == [
        "other_rows", "other_metric", "no_score", "no_score", "other_rows", "no_predictions",
        "no_predictions", "not_a_share",
    ]  # fmt: skip
    for pair in body["pairs"]:
        assert pair["verdict"] == "not comparable"
        assert len(pair["explanation"]) > 20
        assert pair["difference"] is pair["p_value"] is pair["rows_needed"] is None
    notes = {line["name"]: (line["interval"], line["note"]) for line in body["experiments"]}
    assert notes["waiting"][0] is None
    assert notes["waiting"][1].endswith("is queued: it has no score yet.")
    assert notes["lost"][0]["method"] == "Wilson"
    assert "the recorded one" in notes["lost"][1]
    assert "predictions.jsonl" in notes["damaged"][1]
    assert notes["weighted"][0] is None
    assert "doesn't follow from what its rows add" in notes["weighted"][1]


def test_only_fields_that_differ_are_listed_by_their_dotted_names(api: Api) -> None:
    first = add(api, "first", right(70))
    second = add(api, "second", right(70), lora={"r": 16, "dropout": 0.1}, extra=[1])
    body = compared(api, first, second)
    assert {field["field"]: field["values"] for field in body["config"]} == {
        "lora.r": [8, 16],
        "extra": [None, [1]],
    }
    assert body["environment"] == body["data"] == body["seeds"] == []


@pytest.mark.parametrize("count", [0, 1, 21])
def test_too_few_and_too_many_are_refused_with_what_is_accepted(api: Api, count: int) -> None:
    body = problem(api.get("/experiments/compare", params={"id": ["0" * 12] * count}), 422)
    assert [error["field"] for error in body["errors"]] == ["id"]


def test_an_experiment_that_is_not_there_is_named(api: Api) -> None:
    first = add(api, "first", right(70))
    for unknown in ("0" * 12, "nonsense"):
        answer = api.get("/experiments/compare", params={"id": [first.id, unknown]})
        assert unknown in problem(answer, 404)["detail"]
    twice = problem(api.get("/experiments/compare", params={"id": [first.id] * 2}), 422)
    assert "named twice" in twice["detail"]


def test_answers_that_another_machine_left_come_from_the_object_store(
    api: Api, tmp_path: Path
) -> None:
    first, second = add(api, "first", right(70)), add(api, "second", right(90))
    file = ExperimentFolder(Path(str(second.directory))).predictions
    copy = tmp_path / "bucket" / file.parent.parent.name / "artifacts" / file.name
    copy.parent.mkdir(parents=True)
    file.replace(copy)
    change(api.store, second.id, host="elsewhere")
    assert only_pair(api, first, second)["obstacle"] == "no_predictions"
    settings = api.settings.model_copy(update={"artifacts": f"file://{tmp_path / 'bucket'}"})
    with serving(settings) as other:
        assert only_pair(other, first, second)["verdict"] == "better"


def test_who_may_not_look_may_not_compare(guarded: Api) -> None:
    first, second = add(guarded, "first", right(70)), add(guarded, "second", right(90))
    params = {"id": [first.id, second.id]}
    problem(guarded.as_(None).get("/experiments/compare", params=params), 401)
    viewer = guarded.as_(guarded.token("maria"))
    assert viewer.get("/experiments/compare", params=params).status_code == 200


def test_a_longer_source_does_not_make_the_same_rows_different_ones(api: Api) -> None:
    first, second = add(api, "first", right(70)), add(api, "second", right(90))
    file = ExperimentFolder(Path(str(second.directory))).predictions
    answers = [json.loads(line) for line in file.read_text().splitlines()]
    write_lines(file, ({**answer, "row": answer["row"] + 5} for answer in answers))
    pair = only_pair(api, first, second)
    assert (pair["verdict"], pair["won_rows"][0]) == ("better", 76)
