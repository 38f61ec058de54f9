"""`tunesmith adapters`, without a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.experiments.test_promotion import trained

from tunesmith.cli.main import app
from tunesmith.errors import ConfigError, StateError, TunesmithError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import WEIGHTS
from tunesmith.settings import Settings
from tunesmith.store.store import Store


def run(*arguments: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(app, ["adapters", *arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("COLUMNS", "200")


def test_an_adapter_is_registered_held_against_its_demands_promoted_and_found(
    store: Store, settings: Settings
) -> None:
    first, second = trained(store, settings, 85), trained(store, settings, 86)
    said = run("register", "films", first.id, "--tag", "shop", "--language", "en").output
    assert said == f"films@1  candidate  experiment {first.id}\n"
    run("register", "films", second.id, "--comment", "more rows")
    said = run("demands", "films", "--minimum-score", "0.8", "--better-than-production").output
    assert "minimum_score 0.8 (lower end of the 95 % interval), better_than_production" in said
    with pytest.raises(StateError, match=r"(?s)minimum_score 0\.8: its accuracy is 0\.8500"):
        run("promote", "films@1")
    run("demands", "films", "--no-minimum-score")
    assert run("promote", "films@1").output == "films@1  candidate → production\n"
    with pytest.raises(StateError, match="Not distinguishable"):
        run("promote", "films@2")
    said = run("promote", "films@latest", "--force", "--comment", "the shop asked").output
    assert "films@2  candidate → production; films@1 is archived" in said
    assert "forced against better_than_production" in said
    shown = run("show", "films").output
    for text in ("0.850 accuracy", "0.767 to 0.907", "forced: the shop asked", "films@2 took its"):
        assert text in shown
    assert "2 of 2" in run("list", "SHOP", "--stage", "production").output
    assert "matches" in run("list", "shop", "--language", "de").output
    (line,) = map(json.loads, run("list", "--json").output.splitlines())
    assert [each["stage"] for each in line["versions"]] == ["production", "archived"]
    assert len(json.loads(run("show", "films", "--json").output)["history"]) == 5
    run("edit", "films", "--description", "Are films liked?", "--untag", "SHOP")
    assert store.registry.get("films").tags == ()
    actions = [entry.action for entry in store.access.entries()[0]]
    assert actions == [
        "adapter.edit", "adapter.stage", "adapter.stage", "adapter.edit", "adapter.edit",
        "adapter.register", "adapter.edit", "adapter.register",
    ]  # fmt: skip
    forced = next(e for e in store.access.entries()[0] if e.details.get("forced"))
    assert forced.target == "films@2"
    assert forced.actor.startswith("local:")
    assert forced.details["comment"] == "the shop asked"
    run("remove", "films@1", "--yes")
    run("archive", "films@2")
    run("remove", "films", "--yes")
    assert "No registered adapter yet" in run("list").output


def test_an_adapter_whose_weights_are_others_now_goes_nowhere(
    store: Store, settings: Settings
) -> None:
    one = trained(store, settings, 85)
    run("register", "films", one.id)
    file = ExperimentFolder(Path(str(one.directory))).adapter / WEIGHTS
    file.write_bytes(b"others")
    with pytest.raises(StateError, match="not the one that was registered"):
        run("promote", "films@1", "--force", "--comment", "all the same")
    file.unlink()
    with pytest.raises(TunesmithError, match="not on this machine"):
        run("register", "others", one.id)


def test_every_problem_of_what_is_said_is_told_and_nothing_registered(
    store: Store, settings: Settings
) -> None:
    one = trained(store, settings, 85)
    with pytest.raises(ConfigError) as refused:
        run("register", "films", one.id, "--language", "not a language", "--tag", " ")
    assert [p.field for p in refused.value.problems] == ["language", "tags.0"]
    for name in ("latest", one.id, "a/b", "a@b"):
        with pytest.raises(ConfigError, match="name: "):
            run("register", name, one.id)
    assert store.registry.list() == []
