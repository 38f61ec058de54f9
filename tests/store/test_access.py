"""Access tokens, and an audit trail that nobody can change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from tests.store.records import NOON, minutes

from tunesmith.errors import NotFoundError, StateError
from tunesmith.schemas.enums import Role
from tunesmith.store.entities.service import AuditEntry, Token
from tunesmith.store.store import Store


def token(name: str = "ada", **fields: object) -> Token:
    values = {
        "role": Role.MEMBER,
        "prefix": f"ts_{name}",
        "hash": "$argon2id$…",
        "created_at": NOON,
    }
    return Token(name=name, **{**values, **fields})  # type: ignore[arg-type]


def test_each_role_may_do_what_the_ones_before_it_may() -> None:
    assert list(Role) == ["viewer", "member", "admin"]
    for one in Role:
        assert [other for other in Role if one.allows(other)] == list(Role)[: one.order + 1]


def test_a_token_is_shown_without_its_hash() -> None:
    assert "argon2" not in repr(token())
    assert "ts_ada" in repr(token())


# -- tokens -----------------------------------------------------------------------------------


def test_a_token_comes_out_as_it_went_in(store: Store) -> None:
    one = token(created_by="root", last_used_at=minutes(1), revoked_at=minutes(2))
    other = token("Grace 影", role=Role.ADMIN)
    for added in (one, other):
        store.access.add(added)
        assert store.access.token(added.prefix) == added
    assert store.access.tokens() == sorted([one, other], key=lambda each: each.name)
    assert store.access.token("ts_") is None
    assert store.access.token("ts_%") is None


def test_a_name_and_a_beginning_are_given_once_even_when_revoked(store: Store) -> None:
    one = token(revoked_at=NOON)
    store.access.add(one)
    with pytest.raises(StateError, match="a token called 'ada' already"):
        store.access.add(token(prefix="ts_other"))
    with pytest.raises(StateError, match="a token with the same beginning already"):
        store.access.add(token("grace", prefix=one.prefix))
    assert store.access.tokens() == [one]


def test_a_revoked_token_stays_with_the_time_of_its_first_revocation(store: Store) -> None:
    store.access.add(token())
    revoked = store.access.revoke("ada")
    assert revoked == store.access.token("ts_ada")
    assert revoked.revoked_at is not None
    assert replace(revoked, revoked_at=None) == token()
    store.access.revoke("ada")
    assert store.access.token("ts_ada") == revoked


def test_revoking_a_token_that_is_not_there_names_the_nearest(store: Store) -> None:
    with pytest.raises(NotFoundError, match=r"no token called 'ada'\."):
        store.access.revoke("ada")
    store.access.add(token("lovelace"))
    with pytest.raises(NotFoundError, match="did you mean lovelace"):
        store.access.revoke("lovelac")


def test_a_use_is_noted(store: Store) -> None:
    store.access.add(token())
    store.access.touch("ts_ada", minutes(7))
    store.access.touch("ts_nobody", minutes(7))
    assert store.access.tokens() == [token(last_used_at=minutes(7))]


# -- audit ------------------------------------------------------------------------------------


def test_entries_come_out_newest_first_with_numbers_that_grow(store: Store) -> None:
    made = [
        AuditEntry(
            at=minutes(-number),
            actor="ada",
            action="experiment.cancel",
            target=str(number),
            details={"reason": "影 \x00", "list": [1, None]},
            address="127.0.0.1",
        )
        for number in range(5)
    ]
    for entry in made:
        store.access.record(entry)
    entries, total = store.access.entries()
    assert total == 5
    numbers = [entry.id for entry in entries]
    assert numbers == sorted(numbers, key=lambda number: -(number or 0))
    assert len(set(numbers)) == 5
    kept = [replace(entry, id=None) for entry in entries]
    assert kept == [
        replace(entry, details={"reason": "影 \ufffd", "list": [1, None]}) for entry in made[::-1]
    ]
    assert store.access.entries(limit=2, offset=1) == (entries[1:3], 5)
    assert store.access.entries(limit=2, offset=9) == ([], 5)


def test_entries_are_filtered_by_actor_action_and_target(store: Store) -> None:
    for actor, action, target in (
        ("ada", "cancel", "1"), ("ada", "delete", "1"), ("grace", "cancel", "1"),
        ("grace", "cancel", "2"), ("", "cancel", "2"),
    ):  # fmt: skip
        store.access.record(AuditEntry(actor=actor, action=action, target=target))
    assert store.access.entries(actor="ada")[1] == 2
    assert store.access.entries(actor="")[1] == 1
    assert store.access.entries(action="cancel")[1] == 4
    entries, total = store.access.entries(limit=1, actor="grace", action="cancel", target="2")
    assert total == len(entries) == 1
    assert (entries[0].actor, entries[0].action, entries[0].target) == ("grace", "cancel", "2")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET actor = 'nobody' WHERE id = 1",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "replace",
    ],
)
def test_entries_can_not_be_changed_or_deleted_in_sql(url: str, statement: str) -> None:
    sqlite = url.startswith("sqlite")
    if statement == "replace":
        statement = (
            "INSERT OR REPLACE INTO audit SELECT id, at, 'nobody', action, target, details, address"
            " FROM audit"
            if sqlite
            else "TRUNCATE audit"
        )
    with Store(url) as store:
        store.access.record(AuditEntry(actor="ada", action="cancel"))
        before = store.access.entries()
        engine = create_engine(url)
        with pytest.raises(IntegrityError, match="can only grow"), engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()
        assert store.access.entries() == before
        store.access.record(AuditEntry(actor="ada", action="delete"))
        assert store.access.entries()[1] == 2
