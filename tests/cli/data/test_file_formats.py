"""Files of every format, through the command: checked, imported, trained on, predicted from."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import polars as pl
import pytest
import yaml
from tests.cli.conftest import Here, here

__all__ = ["here"]

TEXTS = [
    f"review number {n}: the {'plot' if n % 3 else 'cast'} is {'good' if n % 2 else 'bad'}"
    for n in range(60)
]
FRAME = pd.DataFrame({"text": TEXTS, "label": ["fresh" if n % 2 else "rotten" for n in range(60)]})


def workbook(path: Path) -> None:
    FRAME.to_excel(path, index=False, sheet_name="Reviews")


def sqlite_file(path: Path) -> None:
    with sqlite3.connect(path) as database:
        FRAME.to_sql("reviews", database, index=False)
    database.close()


def archive(path: Path) -> None:
    inner = io.BytesIO()
    book = openpyxl.Workbook()
    for row in [FRAME.columns.tolist(), *FRAME.to_numpy().tolist()]:
        book.active.append(row)
    book.save(inner)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("reviews.xlsx", inner.getvalue())


def viewer(path: Path) -> None:
    rows = [{"row_idx": n, "row": row} for n, row in enumerate(FRAME.to_dict("records"))]
    path.write_text(json.dumps({"features": [], "rows": rows}), encoding="utf-8")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.xlsx": workbook,
    "a.db": sqlite_file,
    "a.zip": archive,
    "a.arrow": lambda path: pl.from_pandas(FRAME).write_ipc(path),
    "a.avro": lambda path: pl.from_pandas(FRAME).write_avro(path),
    "a.orc": FRAME.to_orc,
    "columns.json": lambda path: FRAME.to_json(path),
    "viewer.json": viewer,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_checked_and_imported_alike(here: Here, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    checked = here("data", "check", name)
    assert checked.returncode == 0, checked.stderr
    assert "60 of 60 rows can be used" in checked.stdout
    imported = here("data", "import", name, "--name", "reviews")
    assert imported.returncode == 0, imported.stderr
    shown = here("data", "check", "reviews@1")
    assert "fresh 30, rotten 30" in shown.stdout


@pytest.mark.parametrize("source", ["a.xlsx", "sqlite:///a.db#select text, label from reviews"])
def test_an_adapter_is_trained_and_asked_with_the_same_file(
    here: Here, tmp_path: Path, classification: dict[str, Any], source: str
) -> None:
    workbook(tmp_path / "a.xlsx")
    sqlite_file(tmp_path / "a.db")
    classification["data"] = {"dataset_name": source, "eval_samples": 12, "max_length": 32}
    classification["training"]["num_train_epochs"] = 1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(classification), encoding="utf-8")
    trained = here("train", "--config", "config.yaml")
    assert trained.returncode == 0, trained.stderr
    asked = here("predict", "reviews", source, "--device", "cpu")
    assert asked.returncode == 0, asked.stderr
    answers = [json.loads(line) for line in asked.stdout.splitlines()]
    assert len(answers) == 60
    assert {answer["answer"] for answer in answers} <= {"fresh", "rotten"}
