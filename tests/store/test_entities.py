"""The records: what they say of themselves, and what they cost to import."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.records import NOON, experiment, python

from tunesmith.errors import ConfigError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Filters, new_experiment_id


def test_every_status_is_either_live_or_finished() -> None:
    live = [status for status in ExperimentStatus if status.is_live]
    assert live == [ExperimentStatus.QUEUED, ExperimentStatus.RUNNING]
    assert all(status.is_live != status.is_finished for status in ExperimentStatus)


def test_ids_are_twelve_hexadecimal_digits_and_differ() -> None:
    made = {new_experiment_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{12}", one) for one in made)


def test_a_new_experiment_waits_since_now_in_utc() -> None:
    one = experiment()
    assert one.status is ExperimentStatus.QUEUED
    assert one.created_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"sort_by": "eval_acuracy"}, "sort_by", "did you mean eval_accuracy?"),
        ({"limit": -1}, "limit", "must not be negative; got -1"),
        ({"offset": -1}, "offset", "must not be negative; got -1"),
        ({"name": "a" * 1001}, "name", "too long; accepted: at most 1,000 characters"),
        ({"text": "a " * 501}, "text", "too long"),
        (
            {"text": " ".join(map(str, range(33)))},
            "text",
            "got 33; accepted: at most 32",
        ),
        ({"tags": ("a",) * 33}, "tag", "too many are looked for"),
        ({"start_date": datetime(2026, 1, 1)}, "start_date", "no zone"),  # noqa: DTZ001
        ({"end_date": datetime(2026, 1, 1)}, "end_date", "no zone"),  # noqa: DTZ001
    ],
)
def test_filters_refuse_what_no_store_can_answer(
    arguments: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Filters(**arguments)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert words in str(caught.value)


def test_filters_report_every_problem_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Filters(sort_by="colour", limit=-1, offset=-2, start_date=NOON)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["sort_by", "limit", "offset"]


def test_only_the_creation_time_sorts_downwards_by_default() -> None:
    assert Filters().descending
    assert not Filters(sort_by="eval_accuracy").descending
    assert Filters(sort_by="eval_accuracy", desc=True).descending
    assert not Filters(desc=False).descending


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("tunesmith.store.entities.experiments", ["sqlalchemy"]),
        ("tunesmith.store.store", ["alembic", "sqlalchemy.orm", "torch"]),
    ],
)
def test_importing_is_light(module: str, absent: list[str]) -> None:
    process = python(f"import sys, {module}; print(*sys.modules)")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not set(absent) & set(output.split())


def test_the_lease_is_not_written_into_the_record(tmp_path: Path) -> None:
    files = ExperimentFolder(tmp_path)
    running = replace(experiment(), lease="secret", directory=str(tmp_path))
    files.write_record(running)
    assert "lease" not in json.loads(files.record.read_text())
    assert files.read_record() == replace(running, lease=None)
