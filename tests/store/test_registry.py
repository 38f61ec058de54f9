from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from tests.store.records import NOON, answers, experiment, minutes, python

from tunesmith.errors import NotFoundError, StateError
from tunesmith.schemas.enums import ExperimentStatus, Stage
from tunesmith.store.database.connection import Database
from tunesmith.store.database.tables import adapter_versions
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import (
    AdapterFilters,
    AdapterVersion,
    PromotionRule,
    RegisteredAdapter,
)
from tunesmith.store.store import Store


def trained(store: Store, **fields: Any) -> Experiment:
    """An experiment that has succeeded."""
    one = experiment(**{"status": ExperimentStatus.SUCCEEDED, **fields})
    store.create(one)
    return one


def version(one: Experiment, name: str = "reviews", **fields: Any) -> AdapterVersion:
    """What is registered of it."""
    values = {
        "name": name, "number": 1, "experiment_id": one.id, "task": one.task,
        "model_name": one.model_name, "dataset": "reviews@1", "weights_hash": "0" * 64,
        "created_at": NOON,
    }  # fmt: skip
    return AdapterVersion(**{**values, **fields})


def register(store: Store, count: int, **fields: Any) -> list[AdapterVersion]:
    """`reviews` with so many versions, all candidates."""
    store.registry.create(RegisteredAdapter(name="reviews", created_at=NOON, **fields))
    return [store.registry.add(version(trained(store))) for _ in range(count)]


def move(store: Store, one: AdapterVersion, to: Stage, **fields: Any) -> AdapterVersion:
    """Give a version another stage, as one does who just looked."""
    now = store.registry.version(one.name, one.number)
    standing = [
        v.number for v in store.registry.versions(one.name)[one.name] if v.stage is Stage.PRODUCTION
    ]
    known = {
        "expected": now.stage, "in_production": standing[0] if standing else None,
        "demands": store.registry.get(one.name).demands, **fields,
    }  # fmt: skip
    return store.registry.change_stage(one.name, one.number, to, **known)[0]


def test_promoting_a_version_archives_the_one_before_and_the_history_says_who_and_why(
    store: Store,
) -> None:
    first, second = register(store, 2)
    assert (first.number, second.number) == (1, 2)
    assert move(store, first, Stage.PRODUCTION, actor="ada").stage is Stage.PRODUCTION
    demands = PromotionRule()
    moved, replaced = store.registry.change_stage(
        "reviews", 2, Stage.PRODUCTION, expected=Stage.CANDIDATE, in_production=1, demands=demands,
        actor="bob", comment="asked for by the shop", forced=True, unmet=("verified: no",),
    )  # fmt: skip
    assert (moved.reference, moved.stage) == ("reviews@2", Stage.PRODUCTION)
    assert replaced == replace(first, stage=Stage.ARCHIVED)
    stages = {each.number: each.stage for each in store.registry.versions("reviews")["reviews"]}
    assert stages == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    said = {
        (each.number, each.step, each.was, each.stage, each.actor, each.comment, each.forced)
        for each in store.registry.history("reviews")
    }
    assert said == {
        (1, 1, None, "candidate", "", "", False),
        (1, 2, "candidate", "production", "ada", "", False),
        (1, 3, "production", "archived", "bob", "reviews@2 took its place.", False),
        (2, 1, None, "candidate", "", "", False),
        (2, 2, "candidate", "production", "bob", "asked for by the shop", True),
    }
    newest = max(store.registry.history("reviews"), key=lambda each: (each.number, each.step))
    assert newest.unmet == ("verified: no",)


def test_a_promotion_decided_by_what_is_not_so_any_more_is_refused(store: Store) -> None:
    first, second = register(store, 2)
    move(store, first, Stage.PRODUCTION)
    with pytest.raises(StateError, match="reviews@1 has gone into production"):
        move(store, second, Stage.PRODUCTION, in_production=None)
    with pytest.raises(StateError, match="is candidate now, and was staging"):
        move(store, second, Stage.PRODUCTION, expected=Stage.STAGING)
    store.registry.edit("reviews", demands=PromotionRule(verified=True))
    with pytest.raises(StateError, match="the promotion rule of reviews was changed"):
        move(store, second, Stage.PRODUCTION, demands=PromotionRule())
    move(store, first, Stage.ARCHIVED)
    with pytest.raises(StateError, match="no version of reviews is in production any more"):
        move(store, second, Stage.PRODUCTION, in_production=1)
    assert store.registry.find("reviews@2").stage is Stage.CANDIDATE


RACE = """
import sys
from tunesmith.errors import StateError
from tunesmith.schemas.enums import Stage
from tunesmith.store.entities.registry import PromotionRule
from tunesmith.store.store import Store
with Store(sys.argv[1]) as store:
    store.registry.get("reviews")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.registry.change_stage(
            "reviews", int(sys.argv[2]), Stage.PRODUCTION,
            expected=Stage.CANDIDATE, in_production=1, demands=PromotionRule(),
        )
        print("won")
    except StateError as error:
        print(error)
"""


def test_of_two_processes_that_promote_at_once_one_wins_and_the_other_is_told(url: str) -> None:
    with Store(url) as store:
        first, _, _ = register(store, 3)
        move(store, first, Stage.PRODUCTION)
        said = answers([python(RACE, url, number) for number in ("2", "3")])
        assert sorted(each == "won\n" for each in said) == [False, True]
        assert any("has gone into production" in each for each in said)
        stages = [each.stage for each in store.registry.versions("reviews")["reviews"]]
        assert stages.count(Stage.PRODUCTION) == 1
        assert stages[-1] is Stage.ARCHIVED


def test_the_database_itself_refuses_a_second_version_in_production(url: str) -> None:
    with Store(url) as store:
        move(store, register(store, 2)[0], Stage.PRODUCTION)
    database = Database(url)
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(adapter_versions.update().values(stage=Stage.PRODUCTION))
    database.close()


def test_an_experiment_on_which_a_version_rests_is_kept_until_it_is_archived_or_removed(
    store: Store,
) -> None:
    first, second = register(store, 2)
    move(store, first, Stage.PRODUCTION)
    with pytest.raises(StateError, match=r"kept: reviews@1 \(production\) rests on it"):
        store.delete(first.experiment_id)
    with pytest.raises(StateError, match="reviews@1 is in production; archive it"):
        store.registry.remove("reviews")
    move(store, first, Stage.ARCHIVED)
    store.delete(first.experiment_id)
    with pytest.raises(NotFoundError, match="no experiment"):
        move(store, first, Stage.STAGING)  # there is nothing any more that could be used
    with pytest.raises(NotFoundError, match=r"reviews@1 \(archived\) is gone"):
        store.find("reviews@1")
    store.registry.remove_version("reviews", 2)
    store.delete(second.experiment_id)
    third = store.registry.add(version(trained(store)))
    assert third.number == 3  # reviews@2 never means another one
    store.registry.remove("reviews")
    assert store.registry.list() == []
    assert store.registry.history("reviews") == []


def test_what_has_not_succeeded_or_is_there_already_is_not_registered(store: Store) -> None:
    (first,) = register(store, 1)
    with pytest.raises(StateError, match="is reviews@1 already"):
        store.registry.add(replace(first, number=9))
    failed = trained(store, status=ExperimentStatus.FAILED)
    with pytest.raises(StateError, match="is failed; only the adapter of one that has succeeded"):
        store.registry.create(RegisteredAdapter(name="other"), version(failed, "other"))
    assert not store.registry.knows("other")  # with its first version, or not at all
    with pytest.raises(StateError, match="called reviews already"):
        store.registry.create(RegisteredAdapter(name="reviews"))
    with pytest.raises(NotFoundError, match="did you mean reviews"):
        store.registry.add(replace(first, name="review"))


def test_names_and_stages_mean_versions_where_an_adapter_is_to_be_used(store: Store) -> None:
    first, second = register(store, 2)
    newest = trained(store, created_at=minutes(5))
    assert store.find("reviews") == newest  # whose experiment it is, as ever
    with pytest.raises(NotFoundError, match="no version of reviews in production; there is"):
        store.registry.find_for_use("reviews")
    move(store, first, Stage.PRODUCTION)
    for reference in ("reviews", "reviews@1", "reviews@production"):
        found, meant = store.registry.find_for_use(reference)
        assert meant is not None
        assert (found.id, meant.number) == (first.experiment_id, 1)
    assert store.find("reviews@latest").id == second.experiment_id
    assert store.registry.find_for_use(newest.id[:6]) == (newest, None)
    with pytest.raises(NotFoundError, match="did you mean reviews@staging"):
        store.find("reviews@stagin")
    with pytest.raises(NotFoundError, match=r"reviews@7; there is reviews@2 \(candidate\)"):
        store.find("reviews@7")
    with pytest.raises(NotFoundError, match="no registered adapter 'review'; did you mean reviews"):
        store.find("review@1")


FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["chat", "reviews"]),
    ({"text": "FILM minilm"}, ["reviews"]),
    ({"text": "film smollm"}, []),
    ({"text": "équipe"}, ["chat"]),
    ({"model": "MiniLM", "stage": Stage.STAGING}, ["reviews"]),
    ({"model": "SmolLM", "stage": Stage.STAGING}, []),
    ({"task": "sft"}, ["chat"]),
    ({"language": "zh"}, ["chat"]),
    ({"language": "ZH-tw"}, ["chat"]),
    ({"tags": ("ÉQUIPE a",)}, ["chat"]),
    ({"tags": ("shop", "équipe a")}, []),
    ({"limit": 1, "offset": 1}, ["reviews"]),
]


def test_registered_adapters_are_found_by_what_is_said_and_what_they_are(store: Store) -> None:
    (first,) = register(store, 1, description="whether a film is liked", tags=("shop",))
    move(store, first, Stage.STAGING)
    chat = trained(store, task="sft", model_name="package:smollm/SmolLM2-135M")
    store.registry.create(
        RegisteredAdapter(name="chat", language="zh-TW", tags=("Équipe A", "équipe a")),
        version(chat, "chat"),
    )
    for filters, names in FOUND:
        found = store.registry.list(AdapterFilters(**filters))
        assert [each.name for each in found] == names, filters


def test_what_is_said_of_a_name_is_changed_and_what_is_not_given_stays(store: Store) -> None:
    register(store, 1, description="old", language="en", tags=("a",))
    demands = PromotionRule(minimum_score=0.8, better_than_production=True)
    edited = store.registry.edit("reviews", tags=("b", "a"), demands=demands)
    assert (edited.description, edited.language, edited.tags) == ("old", "en", ("a", "b"))
    assert store.registry.get("reviews").demands == demands
    assert store.registry.edit("reviews", language="").language is None
    assert PromotionRule().is_weaker_than(demands)
    assert PromotionRule(minimum_score=0.7, better_than_production=True).is_weaker_than(demands)
    assert not replace(demands, minimum_score=0.9, verified=True).is_weaker_than(demands)
