"""The registry over the API; nothing is trained."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.serving import Api
from tests.api.test_train import problem
from tests.experiments.test_promotion import trained

import tunesmith
from tunesmith.errors import AccessError, ConfigError, NotFoundError, StateError
from tunesmith.schemas.enums import Role, Stage


def test_adapters_are_registered_found_promoted_and_removed(api: Api) -> None:
    first, second = (trained(api.store, api.settings, right) for right in (70, 90))
    with tunesmith.Client(str(api.base_url)) as client:
        made = client.register_adapter(
            "films", first.id, language="en", tags=["shop"], demands={"verified": True},
            comment="the first",
        )  # fmt: skip
        (version,) = made.versions
        assert (version.reference, version.stage, version.rows) == ("films@1", "candidate", 100)
        assert made.demands.verified
        assert client.register_version("films", second.id).number == 2
        client.edit_adapter("films", demands={"better_than_production": True})
        assert client.adapter("films").demands.verified  # what is left out stays
        assert client.set_stage("films", 2, "production").archived is None
        with pytest.raises(StateError, match=r"(?s)rule of films\..*Worse than the first"):
            client.set_stage("films", 1, "production")
        moved = client.set_stage("films", 1, "production", comment="asked for", force=True)
        assert moved.archived is not None
        assert (moved.archived.reference, len(moved.unmet)) == ("films@2", 1)
        whole = client.adapter("films")
        assert [each.stage for each in whole.versions] == [Stage.ARCHIVED, Stage.PRODUCTION]
        forced = next(step for step in whole.history if step.forced)
        assert (forced.number, forced.comment, forced.unmet) == (1, "asked for", moved.unmet)
        page = client.adapters(text="SHOP", stage="production", task="text-classification")
        assert (page.total, page.items[0].name) == (1, "films")
        assert client.adapters(tag="none").total == 0
        with pytest.raises(StateError, match=r"films@1 \(production\) rests on it"):
            client.delete(first.id, confirm=first.name)
        with pytest.raises(StateError, match="in production"):
            client.remove_adapter("films")
        client.remove_version("films", 2)
        client.set_stage("films", 1, "archived")
        client.remove_adapter("films")
        with pytest.raises(NotFoundError, match="no registered adapter 'films'"):
            client.adapter("films")
    entries, _ = api.store.access.entries(target="films@1")
    assert [entry.action for entry in entries] == ["adapter.stage"] * 2 + ["adapter.register"]
    assert entries[1].details["forced"]


def test_a_name_belongs_to_who_registered_it_and_only_admins_demand_less_or_force(
    guarded: Api,
) -> None:
    url = str(guarded.base_url)
    one = trained(guarded.store, guarded.settings, 70)
    ada = tunesmith.Client(url, guarded.token("ada"))
    bob = tunesmith.Client(url, guarded.token("bob"))
    eyes = tunesmith.Client(url, guarded.token("eyes", Role.VIEWER))
    with ada, bob, eyes:
        made = ada.register_adapter("films", one.id, demands={"minimum_score": 0.8})
        assert (made.owner, made.versions[0].created_by) == ("ada", "ada")
        assert eyes.adapters().total == 1
        with pytest.raises(AccessError, match="needs the role member"):
            eyes.register_adapter("mine")
        with pytest.raises(AccessError, match="adapter films belongs to ada"):
            bob.set_stage("films", 1, "staging")
        with pytest.raises(AccessError, match="the promotion rule of films would be relaxed"):
            ada.edit_adapter("films", demands={"minimum_score": 0.5})
        ada.edit_adapter("films", demands={"minimum_score": 0.9})
        with pytest.raises(AccessError, match="needs the role admin"):
            ada.set_stage("films", 1, "production", comment="please", force=True)
    admin = tunesmith.Client(url, guarded.headers["Authorization"].removeprefix("Bearer "))
    with admin:
        admin.edit_adapter("films", demands={"minimum_score": None})
        assert admin.set_stage("films", 1, "production").version.stage is Stage.PRODUCTION


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "latest"}, "name"),
        ({"name": "films", "language": "no language"}, "language"),
        ({"name": "films", "demands": {"minimum_score": 1.5}}, "demands.minimum_score"),
        ({"name": "films", "experiment": "0" * 12}, "experiment"),
    ],
)
def test_what_is_wrong_with_a_new_name_is_told_by_its_field(
    api: Api, body: dict[str, Any], field: str
) -> None:
    told = problem(api.post("/adapters", json=body), 422)
    assert [each["field"] for each in told["errors"]] == [field]
    with tunesmith.Client(str(api.base_url)) as client, pytest.raises(ConfigError):
        client.register_adapter(**body) if field != "experiment" else client.register_adapter("")
    assert api.store.registry.list() == []
