"""The command in Traditional Chinese: no English sentence is left in what it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.cells import cell_len

from tunesmith.serving.exporters import EXPORTERS

PROGRAM = """
import json, sys
from tunesmith.cli import main
from tunesmith.cli.main import LazyCommand, app
import click

def every(command, words):
    yield [*words, "--help"]
    if isinstance(command, LazyCommand):
        command = command.load()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from every(inner, [*words, name])

asked = json.loads(sys.argv[1]) or list(every(app, []))
for words in asked:
    sys.argv = ["tunesmith", *words]
    print(f"$ {' '.join(words)}", flush=True)
    try:
        main.main()
    except SystemExit as ended:
        print(f"= {ended.code}", flush=True)
"""

PROSE = re.compile(r"[A-Za-z']{2,} [a-z']{3,}")
"""Two words in a row; names in a list have commas between."""

COLON = "\N{FULLWIDTH COLON}"

TYPED = re.compile(
    r"^\$ .*|tunesmith( [\w./=:@|*-]+)+|pip3? install\S*( \S+)*|python3? \S+( \S+)*|make setup"
    r"|optimum-cli export onnx|nvidia-smi -L|\[[\w.=:|@/-]+\]|--to hub"
    r"|^\S+\.yaml(:\d+)?|integer range",
    re.MULTILINE,
)
"""What is typed as it is, in every language; names of files; click's names of types."""


def sentences(printed: str) -> list[str]:
    """The lines that hold English."""
    return [line for line in TYPED.sub("…", printed).splitlines() if PROSE.search(line)]


def run(folder: Path, *commands: list[str], language: str = "zh-TW", columns: int = 200) -> str:
    """What the commands print, one after the other in one process; all `--help` without any."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "HF_"))}
    environment = {
        **kept,
        "COLUMNS": str(columns),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TUNESMITH_LANGUAGE": language,
        "TUNESMITH_RESULTS_DIR": str(folder / "results"),
        "TUNESMITH_CACHE_DIR": str(folder / "cache"),
        "API_PORT": "1",
        "REDIS_PORT": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(list(commands))], cwd=folder, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_help_is_in_the_terminals_language(tmp_path: Path) -> None:
    printed = run(tmp_path)
    assert "用法" in printed
    assert sentences(printed) == []


def test_mistakes_are_said_in_the_terminals_language(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("lora: {rr: 1, r: -1}\ntask: text-clasification\n")
    (tmp_path / "bad.csv").write_bytes(b'text,label\n"a,0\nb,1\n')
    (tmp_path / "none.csv").write_text("text,label\n,a\n,b\n")
    printed = run(
        tmp_path,
        ["trian"],
        ["data", "check", "none.csv"],
        ["train", "--epoch", "3"],
        ["train", "--config", "missing.yaml"],
        ["train", "--resume", "x", "--seed", "1"],
        ["config", "validate", "--config", "bad.yaml"],
        ["config", "validate", "training.seed=x", "data.eval_samples=-1"],
        ["data", "check", "bad.csv"],
        ["data", "check", "missing.csv"],
        ["experiments", "show", "latest"],
        ["experiments", "list", "--limit", "x"],
        ["experiments", "cancel", "0123456789ab"],
        ["experiments", "import", "bad.csv"],
        ["adapters", "show", "reviews"],
        ["predict", "latest"],
        ["queue", "pause", "cqu"],
        ["db", "restore", "missing.db"],
        ["tokens", "revoke", "nobody"],
        ["sweeps", "show", "latest"],
        ["webhooks", "test"],
    )
    assert sentences(printed) == []


def test_what_is_empty_is_said_in_the_terminals_language(tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        ["db", "upgrade"],
        ["db", "backup", "a.db"],
        ["experiments", "list"],
        ["sweeps", "list"],
        ["adapters", "list"],
        ["data", "versions"],
        ["tokens", "create", "maria", "--role", "admin"],
        ["tokens", "list"],
        ["queue", "show"],
        ["gc"],
        ["analyze"],
        ["doctor"],
    )
    assert sentences(printed) == []


def test_a_training_and_all_that_is_shown_of_it_is_in_the_terminals_language(
    classification: dict[str, Any], tmp_path: Path
) -> None:
    reviews = Path(classification["data"]["dataset_name"]).read_text()
    source = tmp_path / "reviews.csv"
    header, *rows = reviews.splitlines(keepends=True)
    source.write_text(header + "".join(rows).upper())  # a row is nobody's sentence to translate
    classification["data"]["dataset_name"] = str(source)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(classification))
    printed = run(
        tmp_path,
        ["config", "validate", "--config", "a.yaml"],
        ["train", "--config", "a.yaml"],
        ["experiments", "list"],
        ["experiments", "show", "latest"],
        ["analyze"],
        ["adapters", "register", "reviews", "latest"],
        ["adapters", "show", "reviews"],
        ["adapters", "promote", "reviews@1", "production"],
        ["data", "import", str(source), "--name", "reviews", "--config", "a.yaml"],
        ["data", "show", "reviews@1"],
        ["data", "analyze", str(source), "--config", "a.yaml"],
        ["data", "check", str(source), "--config", "a.yaml"],
        ["experiments", "delete", "latest", "--yes"],
    )
    assert "= 1" not in printed
    assert sentences(printed) == []


@pytest.mark.parametrize("language", ["en", "fr"])
def test_other_languages_are_english(tmp_path: Path, language: str) -> None:
    assert "No experiment yet" in run(tmp_path, ["experiments", "list"], language=language)


def test_where_a_mistake_was_typed_is_said_in_the_terminals_language(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("experiment_name: one\n")
    printed = run(tmp_path, ["config", "validate", "--config", "a.yaml", "training.epochs_=3"])
    assert "命令列 training.epochs_" in printed


def test_what_click_writes_around_texts_is_in_the_terminals_language(tmp_path: Path) -> None:
    printed = run(tmp_path, ["export", "--help"], ["experiments", "show", "latest"], ["trian"])
    assert f"選項{COLON}\n" in printed
    assert "[必填]" in printed
    assert len(re.findall(f"^錯誤{COLON}[^ ]", printed, re.MULTILINE)) == 2
    assert "錯誤:" not in printed


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_the_targets_of_export_fit_the_terminal(tmp_path: Path, language: str) -> None:
    printed = run(tmp_path, ["export", "--help"], language=language, columns=80)
    targets = printed[printed.rindex(f"\n  {next(iter(EXPORTERS))} ") :]
    for name in EXPORTERS:
        assert f"\n  {name} " in targets
    assert max(map(cell_len, targets.splitlines())) <= 80
