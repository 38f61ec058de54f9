"""A package of somebody else's adds a task, a rule and an exporter; no file of ours knows of it."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from tests.conftest import sentence
from tests.plugins.conftest import Command, commands, environment, install
from tests.ui.conftest import stack

SHOUT = "A SUPERB FILM WITH A LOVELY PLOT"


def write_shares(path: Path, rows: int) -> Path:
    """A table of short texts with a share each; the last one shouts."""
    rng, seen = random.Random(0), set[str]()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "share"])
        while len(seen) < rows:
            text = sentence(rng, good=len(seen) % 2 == 0)
            if text not in seen:
                writer.writerow([text, 0.9 if len(seen) % 2 == 0 else 0.1])
                seen.add(text)
        writer.writerow([SHOUT, 0.9])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(folder: Path, toy: Path) -> Command:
    """`tunesmith` where the toy package is installed."""
    return commands(folder, toy)


@pytest.fixture(scope="module")
def trained(run: Command, folder: Path, tiny_distilbert: Path) -> str:
    """The id of an experiment with the toy's task, from the command."""
    write_shares(folder / "shares.csv", 200)
    asked = {
        "task": {"name": "toy-share"},
        "model": {"name": str(tiny_distilbert)},
        "data": {"dataset_name": "shares.csv", "eval_samples": 40, "max_length": 32},
        "training": {
            "learning_rate": 0.003, "num_train_epochs": 5, "device": "cpu", "logging_steps": 50,
            "metric_for_best_model": "toy_closeness",
        },
    }  # fmt: skip
    (folder / "toy.yaml").write_text(json.dumps(asked))
    run("train", "--config", "toy.yaml")
    return str(json.loads(run("experiments", "show", "latest", "--json").stdout)["id"])


def test_help_and_completion_load_nothing_of_other_packages(toy: Path, folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['tunesmith', '--help']\n"
        "from tunesmith.cli.main import app\n"
        "app.main(standalone_mode=False)\n"
        "print({'toy_tunesmith', 'tunesmith.tasks', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(folder, toy), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip().endswith("set()")


def test_the_configuration_has_the_options_of_task_and_rule(run: Command, folder: Path) -> None:
    schema = json.loads(run("config", "schema").stdout)
    text = json.dumps(schema)
    assert "Column with the share of the toy." in text
    rules = schema["$defs"]["ValidationRules"]["properties"]
    assert rules["toy_shouting"]["default"] == "drop"
    assert rules["toy_most_capitals"]["maximum"] == 1
    (folder / "plain.yaml").write_text('{"model": {"name": "m"}, "data": {"dataset_name": "d"}}')
    show = ("config", "show", "--config", "plain.yaml")
    assert "toy-share" in run(*show, "task.name=toy-shar", fails=True).stderr
    wrong = run(*show, "data.validation_rules.toy_shouting=fix", fails=True)
    assert "drop, warn, fail, ignore" in wrong.stderr


def test_the_command_checks_trains_and_judges(run: Command, trained: str, folder: Path) -> None:
    checked = run("data", "check", "shares.csv")
    assert "toy_shouting" in checked.stdout
    assert "toy advice" in checked.stdout
    allowed = run("data", "check", "shares.csv", "data.validation_rules.toy_most_capitals=1")
    assert "toy_shouting" not in allowed.stdout
    report = json.loads((folder / "results" / "data_reports" / "shares" / "check.json").read_text())
    assert (report["task"], report["columns"]) == ("toy-share", {"text": "text", "share": "share"})
    shown = run("experiments", "show", trained).stdout
    assert "toy_closeness" in shown
    (results,) = (folder / "results").glob("*/metrics.json")
    metrics = json.loads(results.read_text())
    assert metrics["score"]["metric"] == "toy_closeness"
    assert metrics["score"]["interval"]["rows"] == 40
    assert metrics["score"]["value"] > metrics["score"]["baseline"]["value"]
    assert metrics["reload_verified"]
    card = (results.parent / "artifacts" / "final_model" / "README.md").read_text()
    assert "toy-share" in card


def test_the_command_predicts(run: Command, trained: str) -> None:
    texts = ("a superb film with a lovely plot", "a dull and awful story")
    asked = [part for text in texts for part in ("--text", text)]
    lines = run("predict", trained, *asked, "--device", "cpu").stdout.splitlines()
    sure, unsure = (json.loads(line)["answer"] for line in lines)
    assert 0 <= unsure < sure <= 1


@pytest.mark.parametrize(
    "target", ["toy-arrays", pytest.param("onnx", marks=pytest.mark.slow), "merged"]
)
def test_the_command_exports_to_the_toys_form_and_to_ours(
    run: Command, trained: str, folder: Path, target: str
) -> None:
    place = folder / f"exported-{target}"
    own = ["--toy-small"] if target == "toy-arrays" else []
    done = run("export", trained, "--to", target, "-o", str(place), *own, "--json")
    said = json.loads(done.stdout)
    assert said["target"] == target
    assert said["agreement"]["same"] == said["agreement"]["rows"] == 40
    assert place.exists()


def test_the_help_of_export_lists_the_toy(run: Command, trained: str) -> None:
    told = run("export", "--help").stdout
    assert "toy-arrays" in told
    assert "One file with an array of NumPy for each weight." in told
    assert "--toy-small" in told
    wrong = run("export", trained, "--to", "merged", "--toy-small", fails=True)
    assert "--toy-small goes with --to toy-arrays" in wrong.stderr


def test_the_api_its_client_and_its_document_have_them(toy: Path, tmp_path: Path) -> None:
    with stack(tmp_path / "stack", "api", PYTHONPATH=str(toy)) as made:
        task = made.client.tasks().items[-1]
        rule = made.client.rules().items[-1]
        exporter = made.client.exporters().items[-1]
        document = httpx2.get(f"{made.settings.api_address}/openapi.json", trust_env=False).json()
    assert (task.name, task.label, task.is_default) == ("toy-share", "toy shares", False)
    assert task.columns["share"] == ["share"]
    assert task.examples[0] == {"text": "Surely.", "share": 0.9}
    assert [metric.label for metric in task.metrics] == ["toy closeness", "loss"]
    found = (rule.name, rule.default, rule.bounds)
    assert found == ("toy_shouting", "drop", ["toy_most_capitals"])
    assert exporter.options[0].name == "toy-small"
    schemas = document["components"]["schemas"]
    assert "share_column" in schemas["ShareOptions"]["properties"]
    assert "toy_shouting" in schemas["ValidationRules"]["properties"]


BROKEN = {
    "gone": "toy_gone.nowhere:Task",
    "raises": "toy_raises:Task",
    "leaves": "toy_leaves:Task",
    "no-task": "toy_others:Plain",
    "unfinished": "toy_others:Unfinished",
    "unnamed": "toy_others:Other",
    "sft": "toy_tunesmith.share:Share",
}


def test_what_cannot_be_used_is_said_once_with_its_package_and_the_rest_works(
    toy: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "toy_raises.py").write_text("raise RuntimeError('no\\nsuch luck')\n")
    (site / "toy_leaves.py").write_text("import sys\nsys.exit('bye')\n")
    (site / "toy_others.py").write_text(
        "from toy_tunesmith.share import Share\n"
        "from tunesmith.tasks.base import Task\n"
        "Plain = 1\n"
        "class Unfinished(Task):\n    name = 'unfinished'\n"
        "class Other(Share):\n    name = 'other'\n"
    )
    install(site, "toy-broken", {"tunesmith.tasks": BROKEN, "tunesmith.rules": {"html": "a:B"}})
    run = commands(tmp_path, toy, site)
    done = run("config", "schema")
    text = json.dumps(json.loads(done.stdout))
    assert "toy-share" in text
    assert "toy_shouting" in text
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN) + 1
    said = {name: line for name in BROKEN for line in lines if f"'{name}'" in line}
    assert said.keys() == BROKEN.keys()
    assert all("the package toy-broken 1.0 adds" in line for line in lines)
    assert "ModuleNotFoundError: No module named 'toy_gone'" in said["gone"]
    assert "RuntimeError: no such luck" in said["raises"]
    assert "SystemExit: bye" in said["leaves"]
    assert "is no complete subclass of Task" in said["no-task"]
    assert "is no complete subclass of Task" in said["unfinished"]
    assert "calls itself 'other'" in said["unnamed"]
    assert "there is one of this name already" in said["sft"]


def test_the_order_is_ours_first_whatever_lies_first_on_the_path(toy: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    names = ["a-share", "z-share"]
    install(site, "toy-more", {"tunesmith.tasks": {name: f"toy_more:{name[0]}" for name in names}})
    (site / "toy_more.py").write_text(
        "from typing import Literal\n"
        "from toy_tunesmith.share import Share, ShareOptions\n"
        + "".join(
            f"class {name[0]}Options(ShareOptions):\n"
            f"    name: Literal['{name}'] = '{name}'\n"
            f"class {name[0]}(Share):\n    name = '{name}'\n    Options = {name[0]}Options\n"
            f"    is_default = True\n"
            for name in names
        )
    )
    code = "from tunesmith.tasks import TASKS, default_task; print(*TASKS, default_task(None))"
    orders = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment(tmp_path, *sites), capture_output=True,
            text=True, check=True,
        ).stdout
        for sites in ((toy, site), (site, toy))
    }  # fmt: skip
    assert orders == {
        "dpo regression sft text-classification token-classification a-share toy-share z-share "
        "text-classification\n"
    }


def test_a_plugin_that_is_imported_first_is_found_as_well(toy: Path, tmp_path: Path) -> None:
    code = (
        "import toy_tunesmith.shouting, toy_tunesmith.arrays, toy_tunesmith.share\n"
        "from tunesmith.config.rules import RULES\n"
        "from tunesmith.serving.exporters import EXPORTERS\n"
        "from tunesmith.tasks import TASKS\n"
        "assert TASKS['toy-share'] is toy_tunesmith.share.Share\n"
        "assert RULES['toy_shouting'] is toy_tunesmith.shouting.Shouting\n"
        "assert EXPORTERS['toy-arrays'] is toy_tunesmith.arrays.Arrays\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path, toy), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_an_adapter_whose_task_is_no_longer_installed_says_what_to_install(
    folder: Path, trained: str
) -> None:
    without = commands(folder)
    told = without("predict", trained, "--text", "a film", "--device", "cpu", fails=True).stderr
    assert f"experiment {trained} learned the task toy-share, which no package here has" in told
    assert trained in without("experiments", "list").stdout
