"""Data in every format and layout: checked, imported, trained on, predicted from.

From the command and over the API, in files that a real writer of the format made, or that are
written as its documentation says. A format or layout without a row here fails.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.serving import Api
from tests.cli.conftest import Done, Here
from tests.whole_way.annotations import ANNOTATIONS
from tests.whole_way.case import Case, learned
from tests.whole_way.chats import CHATS
from tests.whole_way.tables import TABLES

from tunesmith.data.layouts import LAYOUTS
from tunesmith.data.reading.compressed import COMPRESSIONS
from tunesmith.data.reading.formats import FORMATS
from tunesmith.data.reading.places import archives
from tunesmith.experiments.datasets.importing import check_data, inquire
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS

CASES = [*TABLES, *CHATS, *ANNOTATIONS]
LIKE_ANOTHER = {
    *("gb18030.csv", "index.json", "split.json", "tight.json", "macros.xlsm", "folder.tgz"),
    *("packed.csv.bz2", "packed.csv.xz", "one.tar.bz2", "one.tar.xz", "one.tar.zst"),
}
"""Other shapes and packings of rows that are checked in every round."""

TRAINED = {"asked.db", "folder", "scores.csv", "brat", "calls.jsonl", "hh.jsonl"}
SENT = {"book.ods", "folder", "scores.csv", "studio.json", "kto.parquet", "hh.jsonl"}
"""In every round: each task, and each way in which data are read."""


def rounds(cases: list[Case], every: set[str]) -> list[Any]:
    """`cases`, slow but for those called as `every` has it."""
    return [
        pytest.param(each, id=str(each), marks=() if each.name in every else pytest.mark.slow)
        for each in cases
    ]


def configuration(case: Case, models: Path, dataset: str) -> dict[str, Any]:
    options = [option for option in case.sets if option.startswith("task.")]
    return {
        "experiment_name": "way",
        "task": {"name": case.task} | {
            name.removeprefix("task."): yaml.safe_load(value)
            for name, _, value in (option.partition("=") for option in options)
        },
        "model": {"name": str(models / (case.model or case.task))},
        "lora": {"r": 2},
        "data": {"dataset_name": dataset, "max_length": 512 if case.model else 48},
        "training": {"max_steps": 2, "logging_steps": 2, "device": "cpu"},
    }  # fmt: skip


def fine(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_learned_as_it_stands(case: Case, dataset: str, settings: Settings) -> None:
    sets = [f"task.name={case.task}", *(one for one in case.sets if one.startswith("task."))]
    inquiry = inquire(dataset, None, sets, settings)
    found = check_data(inquiry)
    assert found.checked.report.rows_out == case.learned, found.checked.report.summary()
    assert found.layout == case.layout
    rows = [row for table in found.checked.tables.values() for row in table.to_pylist()]
    assert case.first in [learned(inquiry.task, row) for row in rows]


def test_every_format_layout_and_task_is_here() -> None:
    assert {case.format for case in CASES} >= {*FORMATS}
    assert {case.layout for case in CASES} >= {*LAYOUTS}
    assert {case.task for case in CASES} >= {*TASKS}
    names = [case.name for case in CASES]
    for ending in (*COMPRESSIONS, *archives.ENDINGS):
        assert any(name.endswith(ending) for name in names), ending


def test_every_format_and_layout_has_its_row_in_the_documentation() -> None:
    page = Path("docs/formats.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in page if line.startswith("| `")]
    found = {row[0].strip("`"): row for row in rows}
    for name, kind in FORMATS.items():
        assert found[name][2].split(", ") == [f"`{ending}`" for ending in kind.endings]
    for name, layout in LAYOUTS.items():
        tasks = ", ".join(f"`{task}`" for task in layout.tasks)
        assert found[name][1:3] == [layout.label, tasks]
    assert found.keys() >= {*TASKS}
    packed = [*COMPRESSIONS, *archives.ENDINGS]
    assert not [ending for ending in packed if f"`{ending}`" not in " ".join(page)]


@pytest.mark.parametrize("case", rounds(CASES, {case.name for case in CASES} - LIKE_ANOTHER))
def test_it_is_checked_and_imported_as_it_stands(case: Case, here: Here, tmp_path: Path) -> None:
    case.write(tmp_path / case.name)
    given = (case.source(tmp_path), f"task.name={case.task}", *case.sets)
    report = json.loads(fine(here("data", "check", *given, "--json")))
    assert report["rows_out"] == case.learned
    if case.format is not None:
        assert f"read as {FORMATS[case.format].label}" in report["reading"][0]
    fine(here("data", "import", *given, "--name", "way"))
    is_learned_as_it_stands(case, "way@1", Settings.read())


@pytest.mark.parametrize("case", rounds(CASES, TRAINED))
def test_an_adapter_is_trained_on_it_and_asked_every_row_of_it(
    case: Case, here: Here, tmp_path: Path, models: Path
) -> None:
    case.write(tmp_path / case.name)
    source = case.source(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(configuration(case, models, source)), "utf-8")
    reading = [one for one in case.sets if one.startswith("data.")]
    fine(here("train", "--config", str(config), *reading))
    asked = fine(here("predict", "way", source, "--device", "cpu", "--max-new-tokens", "2"))
    answers = [json.loads(line) for line in asked.splitlines()]
    assert [answer["row"] for answer in answers] == [*range(1, case.rows + 1)]


# A database is asked over the network only where its address is allowed; what `datasets` saved to
# disk is read as a folder alone, not as an archive.
NEVER_SENT = {"asked.db", "saved_to_disk", "hub"}


@pytest.mark.parametrize(
    "case", rounds([case for case in CASES if case.name not in NEVER_SENT], SENT)
)
def test_it_is_sent_trained_on_and_asked_over_the_api(
    case: Case, api: Api, tmp_path: Path, models: Path
) -> None:
    path = tmp_path / case.name
    case.write(path)
    if path.is_dir():
        path = Path(shutil.make_archive(str(path), "zip", path))
    name = re.sub(r"\W+", "-", f"{case}")
    sent = api.post(
        "/datasets",
        data={"name": name, "set": [f"task.name={case.task}", *case.sets]},
        files={"file": (path.name, path.read_bytes())},
    )
    assert sent.status_code == 201, sent.text
    version = sent.json()["version"]["reference"]
    is_learned_as_it_stands(case, version, api.settings)
    queued = api.post("/train", json=configuration(case, models, version))
    assert queued.status_code == 202, queued.text
    one = execute(queued.json()["experiment_id"], api.store, api.settings)
    preview = api.get(f"/datasets/{name}/1/preview", params={"rows": case.rows}).json()
    rows = [row["values"] for row in preview["rows"]]
    answered = api.post(
        f"/experiments/{one.id}/predict", json={"inputs": rows, "max_new_tokens": 2}
    )
    assert answered.status_code == 200, answered.text
    assert len(answered.json()["answers"]) == case.rows
