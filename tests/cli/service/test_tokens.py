"""`tunesmith tokens`, as a user types it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tunesmith.api.access.tokens import TokenVerifier
from tunesmith.cli.main import app
from tunesmith.errors import ConfigError, NotFoundError, StateError
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(tmp_path / "results"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tokens", *arguments], catch_exceptions=False)


def test_a_token_is_made_shown_once_listed_and_revoked() -> None:
    assert "No token yet" in run("list").stdout
    made = run("create", "maria", "--role", "admin")
    token = made.stdout.strip()
    assert re.fullmatch(r"ts_[0-9a-f]{8}_[\w-]{43}", token)
    listed = run("list").stdout
    assert "maria" in listed
    assert "admin" in listed
    assert token not in listed
    with Store(Settings.read().store_url) as store:
        found = TokenVerifier(store).verify(token)
        assert found is not None
        assert found.name == "maria"
    assert "maria is revoked" in run("revoke", "maria").stdout
    assert "revoked" in run("list").stdout
    with Store(Settings.read().store_url) as store:
        assert TokenVerifier(store).verify(token) is None
        actions = [entry.action for entry in store.access.entries()[0]]
    assert actions == ["token.revoke", "token.create"]


def test_a_name_is_taken_for_ever_and_an_unknown_one_is_said() -> None:
    run("create", "maria")
    run("revoke", "maria")
    with pytest.raises(StateError, match="maria"):
        run("create", "maria")
    with pytest.raises(NotFoundError, match="did you mean maria"):
        run("revoke", "mario")


def test_a_role_that_is_none_is_refused() -> None:
    result = run("create", "maria", "--role", "king")
    assert result.exit_code == 2
    assert "viewer" in result.stderr


def test_a_token_made_elsewhere_opens_the_api_and_may_be_said_again() -> None:
    token = "ts_0123abcd_" + "s" * 43
    for said in ("ops is admin\n", "ops is admin, as before\n"):
        kept = give(token, "ops", "--role", "admin")
        assert kept.stdout == said
        assert kept.exit_code == 0
    with Store(Settings.read().store_url) as store:
        found = TokenVerifier(store).verify(token)
        assert found is not None
        assert found.role == "admin"
        assert store.access.entries(action="token.create")[1] == 1


def test_a_token_made_elsewhere_is_refused_where_it_can_not_be_what_was_meant() -> None:
    token = "ts_0123abcd_" + "s" * 43
    with pytest.raises(ConfigError, match="ts_, 8 hexadecimal"):
        give("letmein", "ops")
    give(token, "ops")
    with pytest.raises(StateError, match="called 'ops' already"):
        give("ts_0123abce_" + "s" * 43, "ops")
    with pytest.raises(StateError, match="already"):
        give(token, "ops", "--role", "admin")
    with pytest.raises(StateError, match="already"):
        give(token[:-1] + "t", "ops")
    run("revoke", "ops")
    with pytest.raises(StateError, match="revoked"):
        give(token, "ops")


def give(token: str, *arguments: str) -> Result:
    words = ["tokens", "create", *arguments, "--from", "-"]
    return CliRunner().invoke(app, words, input=f"{token}\n", catch_exceptions=False)
