"""Who may do what: tokens, roles, owners, OpenID Connect, the audit trail."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.api.serving import Api, add_experiment, serving
from tests.api.test_train import problem, take

from tunesmith.api.access.tokens import create_token, keep_token
from tunesmith.api.app import create_app
from tunesmith.errors import ConfigError, ServiceError
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.store import Store


def test_on_this_machine_who_started_it_needs_no_token(api: Api) -> None:
    body = api.get("/whoami").json()
    assert body == {"name": "local", "role": "admin", "via": "local", "display_name": ""}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "myserver.example"])
def test_bound_elsewhere_it_does_not_start_without_an_admin_token(
    settings: Settings, host: str
) -> None:
    open_to_all = settings.model_copy(update={"api_host": host})
    with pytest.raises(ServiceError, match="tunesmith tokens create NAME --role admin"):
        create_app(open_to_all)
    with Store(settings.store_url) as store:
        create_token("maria", Role.MEMBER, store, "tests")
        with pytest.raises(ServiceError):
            create_app(open_to_all)
        create_token("root", Role.ADMIN, store, "tests")
        create_app(open_to_all).state.service.close()
        store.access.revoke("root")
    with pytest.raises(ServiceError):
        create_app(open_to_all)


def test_bound_elsewhere_even_this_machine_needs_a_token(settings: Settings) -> None:
    with Store(settings.store_url) as store:
        token = create_token("root", Role.ADMIN, store, "tests")[1]
    with serving(settings.model_copy(update={"api_host": "0.0.0.0"})) as api:
        problem(api.get("/experiments"), 401)
        assert api.as_(token).get("/experiments").status_code == 200
        hosts = {"Host": "gpu-server.example", "Origin": "https://elsewhere.example"}
        assert api.as_(token).get("/experiments", headers=hosts).status_code == 200


def test_without_a_token_the_answer_says_how_to_get_one(guarded: Api) -> None:
    response = guarded.as_(None).get("/experiments")
    assert "tunesmith tokens create" in problem(response, 401)["detail"]
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path", ["/experiments", "/queue", "/workers", "/metrics", "/audit", "/tokens", "/datasets",
             "/whoami", "/configuration/schema", "/experiments/000000000000/events"],
)  # fmt: skip
def test_everything_but_health_needs_a_token(guarded: Api, path: str) -> None:
    problem(guarded.as_(None).get(path), 401)
    assert guarded.as_(None).get("/health/live").status_code == 200
    assert guarded.as_(None).get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "token",
    ["ts_", "ts_00000000_" + "x" * 43, "nonsense", "a.b.c", "ts_00000000_x' OR 1=1", "x" * 5000],
)
def test_a_wrong_token_is_refused_even_where_none_is_needed(api: Api, token: str) -> None:
    problem(api.as_(token).get("/whoami"), 401)


def test_a_token_with_another_secret_or_scheme_opens_nothing(guarded: Api) -> None:
    token = guarded.token("maria")
    problem(guarded.as_(token[:-3] + "aaa").get("/whoami"), 401)
    basic = {"Authorization": f"Basic {token}"}
    problem(guarded.as_(None).get("/whoami", headers=basic), 401)
    assert guarded.as_(token).get("/whoami").json()["name"] == "maria"


ACTIONS = [
    ("GET", "/experiments", Role.VIEWER),
    ("GET", "/queue", Role.VIEWER),
    ("GET", "/metrics", Role.VIEWER),
    ("POST", "/train", Role.MEMBER),
    ("POST", "/datasets", Role.MEMBER),
    ("POST", "/queue/cpu/pause", Role.ADMIN),
    ("POST", "/queue/cpu/continue", Role.ADMIN),
    ("GET", "/tokens", Role.ADMIN),
    ("POST", "/tokens", Role.ADMIN),
    ("DELETE", "/tokens/nobody", Role.ADMIN),
    ("GET", "/audit", Role.ADMIN),
]


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_its_part_and_no_more(guarded: Api, role: Role) -> None:
    client = guarded.as_(guarded.token("someone", role))
    for method, path, needed in ACTIONS:
        status = client.request(method, path).status_code
        assert (status == 403) is not role.allows(needed), (method, path)
        assert status != 401


def test_members_change_only_their_own_and_admins_everything(
    guarded: Api, config: dict[str, Any]
) -> None:
    maria, paul = (guarded.as_(guarded.token(name)) for name in ("maria", "paul"))
    id_ = maria.post("/train", json=config).json()["task_id"]
    assert guarded.store.get(id_).owner == "maria"
    for action in ("cancel", "resume", "retry", "front"):
        assert "maria" in problem(paul.post(f"/experiments/{id_}/{action}"), 403)["detail"]
    problem(paul.put(f"/experiments/{id_}/priority", json={"priority": 1}), 403)
    problem(paul.patch(f"/experiments/{id_}", json={"note": "mine"}), 403)
    problem(paul.delete(f"/experiments/{id_}", params={"confirm": "reviews"}), 403)
    rerun = paul.post(f"/experiments/{id_}/rerun").json()["experiment_id"]
    assert guarded.store.get(rerun).owner == "paul"
    assert maria.put(f"/experiments/{id_}/priority", json={"priority": 1}).status_code == 200
    assert maria.patch(f"/experiments/{id_}", json={"note": "mine"}).json()["note"] == "mine"
    assert guarded.post(f"/experiments/{id_}/cancel").status_code == 200
    local = add_experiment(guarded.store, guarded.settings)
    problem(maria.delete(f"/experiments/{local.id}", params={"confirm": "reviews"}), 403)


def test_a_token_is_shown_once_and_kept_as_a_hash(guarded: Api) -> None:
    made = guarded.post("/tokens", json={"name": "maria", "role": "viewer"})
    assert made.status_code == 201
    token = made.json()["token"]
    secret = token.split("_", 2)[2]
    assert secret not in guarded.get("/tokens").text
    assert all(secret not in known.hash for known in guarded.store.access.tokens())
    problem(guarded.post("/tokens", json={"name": "maria"}), 409)
    assert guarded.as_(token).get("/whoami").json()["role"] == "viewer"


@pytest.mark.parametrize("name", ["", "a b", "../x", "<b>", "x" * 65, "oidc:maria", "n\0"])
def test_names_that_could_be_taken_for_others_are_refused(guarded: Api, name: str) -> None:
    problem(guarded.post("/tokens", json={"name": name}), 422)
    problem(guarded.post("/tokens", json={"name": "local"}), 409)


def test_a_revoked_token_opens_nothing_and_its_name_stays_taken(guarded: Api) -> None:
    token = guarded.token("maria")
    assert guarded.as_(token).get("/whoami").status_code == 200
    assert guarded.delete("/tokens/maria").json()["revoked_at"]
    problem(guarded.as_(token).get("/whoami"), 401)
    problem(guarded.post("/tokens", json={"name": "maria"}), 409)
    problem(guarded.delete("/tokens/nobody"), 404)


def test_who_guesses_tokens_has_to_wait_and_others_go_on(guarded: Api) -> None:
    guarded.get("/whoami")
    guesses = [guarded.as_("ts_00000000_" + f"{n:043}").get("/whoami") for n in range(12)]
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 2
    problem(guesses[-1], 429)
    assert 0 < int(guesses[-1].headers["retry-after"]) <= 60
    assert guarded.get("/whoami").status_code == 200


def test_who_guesses_locks_out_nobody_else_behind_the_same_address(guarded: Api) -> None:
    for n in range(12):
        guarded.as_("ts_00000000_" + f"{n:043}").get("/whoami")
    assert guarded.as_(guarded.token("maria")).get("/whoami").status_code == 200


def test_who_guesses_with_many_tokens_has_to_wait_and_right_ones_are_let_in(guarded: Api) -> None:
    guarded.get("/whoami")
    other = guarded.token("maria")
    client = guarded.as_(None)
    guesses = [
        client.get("/whoami", headers={"Authorization": f"Bearer ts_{n:08x}_{n:043}"}).status_code
        for n in range(102)
    ]
    assert guesses == [401] * 100 + [429] * 2
    assert guarded.as_(other).get("/whoami").status_code == 200
    assert guarded.get("/whoami").status_code == 200


def test_a_right_token_is_let_in_though_its_own_beginning_is_guessed_at(guarded: Api) -> None:
    token = guarded.token("maria")
    wrong = guarded.as_(token[:-6] + "000000")
    assert [wrong.get("/whoami").status_code for _ in range(11)] == [401] * 10 + [429]
    assert guarded.as_(token).get("/whoami").status_code == 200


def test_a_token_made_elsewhere_is_hashed_slowly_and_guessing_at_it_costs_little(
    guarded: Api,
) -> None:
    token = "ts_0123abcd_" + "weak" * 6
    assert keep_token("imported", Role.MEMBER, token, guarded.store, "tests")
    kept = guarded.store.access.token("0123abcd")
    assert kept is not None
    assert kept.hash.startswith("$argon2id$")
    assert guarded.as_(token).get("/whoami").status_code == 200
    wrong = guarded.as_(token[:-6] + "000000")
    assert [wrong.get("/whoami").status_code for _ in range(11)] == [401] * 10 + [429]
    assert not keep_token("imported", Role.MEMBER, token, guarded.store, "tests")
    assert guarded.as_(token).get("/whoami").status_code == 200  # it is in use


def test_reading_goes_on_while_nothing_can_be_written(guarded: Api) -> None:
    token = guarded.token("maria")
    path = guarded.settings.store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert guarded.as_(token).get("/experiments/stats").status_code == 200
        other.execute("ROLLBACK")
    guarded.service.authenticator.tokens.write_uses()
    used = {known.name: known.last_used_at for known in guarded.store.access.tokens()}
    assert used["maria"] is not None


def test_the_audit_trail_tells_who_did_what_from_where(
    guarded: Api, config: dict[str, Any]
) -> None:
    maria = guarded.as_(guarded.token("maria"))
    id_ = maria.post("/train", json=config).json()["task_id"]
    maria.post(f"/experiments/{id_}/cancel")
    guarded.post("/queue/cpu/pause")
    guarded.post("/tokens", json={"name": "paul"})
    guarded.delete("/tokens/paul")
    entries = guarded.get("/audit").json()["items"]
    assert [(e["actor"], e["action"], e["target"]) for e in reversed(entries)] == [
        ("maria", "experiment.submit", id_),
        ("maria", "experiment.cancel", id_),
        ("root", "queue.pause", "cpu"),
        ("root", "token.create", "paul"),
        ("root", "token.revoke", "paul"),
    ]
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    only = guarded.get("/audit", params={"actor": "maria", "limit": 1}).json()
    assert (only["total"], len(only["items"])) == (2, 1)


def test_what_was_refused_changes_nothing(guarded: Api, config: dict[str, Any]) -> None:
    viewer = guarded.as_(guarded.token("vera", Role.VIEWER))
    problem(viewer.post("/train", json=config), 403)
    assert not guarded.store.list()


def test_a_provider_without_encryption_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="https"):
        create_app(settings.model_copy(update={"oidc_issuer": "http://issuer.example"}))


def test_a_paused_queue_gives_nothing_until_it_is_continued(
    guarded: Api, config: dict[str, Any]
) -> None:
    guarded.post("/train", json=config)
    paused = guarded.post("/queue/cpu/pause").json()
    assert (paused["paused"], paused["paused_by"], paused["waiting"]) == (True, "root", 1)
    assert guarded.store.queue.takeable(["cpu"]) == 0
    assert guarded.post("/queue/cpu/continue").json()["paused"] is False
    take(guarded)
    problem(guarded.post("/queue/tpu/pause"), 404)


def test_refused_changes_are_in_the_audit_trail(guarded: Api, config: dict[str, Any]) -> None:
    id_ = guarded.post("/train", json=config).json()["task_id"]
    maria = guarded.as_(guarded.token("maria"))
    viewer = guarded.as_(guarded.token("vic", Role.VIEWER))
    assert maria.post(f"/experiments/{id_}/cancel").status_code == 403
    assert viewer.post("/train", json=config).status_code == 403
    assert maria.get("/audit").status_code == 403  # changes nothing
    assert guarded.as_("ts_wrong").post(f"/experiments/{id_}/cancel").status_code == 401
    assert maria.post("/queue/cpu/pause").status_code == 403
    found = guarded.get("/audit", params={"action": "refused"}).json()["items"]
    assert [(entry["actor"], entry["target"], entry["details"]["request"]) for entry in found] == [
        ("maria", "cpu", "POST /queue/cpu/pause"),
        ("vic", "/train", "POST /train"),
        ("maria", id_, f"POST /experiments/{id_}/cancel"),
    ]
    assert "belongs to root" in found[-1]["details"]["why"]
    assert found[0]["address"] == "127.0.0.1"
