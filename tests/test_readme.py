"""What the README promises: its configurations are valid, its commands exist, its tree is true."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.main import app
from tunesmith.config.yaml import read_draft
from tunesmith.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "README.zh-TW.md"]
OPERATIONS = "docs/operations.md"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_each_configuration_is_valid(page: str, tmp_path: Path) -> None:
    found = [block for block in blocks(page, "yaml") if block.startswith("experiment_name:")]
    assert found
    for number, block in enumerate(found):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        read_draft(path).config()


@pytest.mark.parametrize("page", [*PAGES, OPERATIONS])
def test_each_command_exists_with_its_options(page: str) -> None:
    text = "\n".join(blocks(page, "(?:bash|sh)")).replace("\\\n", " ")
    lines = re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE).splitlines()
    commands = re.findall(r"\btunesmith (?=[a-z])(.*)", "\n".join(lines))
    assert commands
    for command in commands:
        words = command.split()
        found: click.Command = app
        while words and isinstance(found, click.Group):
            name = words.pop(0)
            assert name in found.commands, command
            found = found.commands[name]
            if isinstance(found, LazyCommand):
                found = found.load()
        known = {option for parameter in found.params for option in parameter.opts}
        for word in words:
            if word.startswith("-") and word != "-":  # alone it is standard input
                assert word.partition("=")[0] in known, command


@pytest.mark.parametrize("page", PAGES)
def test_each_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^make ([a-z0-9-]+)", "\n".join(blocks(page, "bash")), re.MULTILINE)
    assert named
    assert set(named) <= targets


@pytest.mark.parametrize("page", [*PAGES, ".env.example"])
def test_each_setting_of_the_machine_is_described(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = [str(field.validation_alias) for field in Settings.model_fields.values()]
    assert not [name for name in names if f"`{name}`" not in text and f"{name}=" not in text]


def test_both_languages_give_the_same_commands_and_configurations() -> None:
    first, second = PAGES
    for language in ("bash", "yaml", "csv", "jsonl"):
        without_comments = [
            [re.sub(r"\s*#.*", "", block) for block in blocks(page, language)] for page in PAGES
        ]
        assert without_comments[0] == without_comments[1], (first, second, language)


@pytest.mark.parametrize("page", PAGES)
def test_the_tree_at_the_end_names_each_room(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "src" / "tunesmith").glob("*/__init__.py")]
    assert not [room for room in rooms if not re.search(rf"^  {room}/ +\S", text, re.MULTILINE)]
