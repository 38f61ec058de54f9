"""Files of an experiment are visible whole or not at all, whoever writes them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunesmith.experiments.leftovers import half_written
from tunesmith.tracking.files import beside, write_json, write_lines


def test_writers_of_one_file_do_not_meet_and_the_last_one_wins(tmp_path: Path) -> None:
    values = [[number] * 1000 for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda value: write_json(tmp_path / "metrics.json", value), values))
    assert json.loads((tmp_path / "metrics.json").read_text()) in values
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_what_was_not_written_to_the_end_goes_and_what_a_crash_leaves_is_found(
    tmp_path: Path,
) -> None:
    with pytest.raises(ZeroDivisionError):
        write_lines(tmp_path / "rows.jsonl", (1 // n for n in (1, 0)))
    assert list(tmp_path.iterdir()) == []
    beside(tmp_path / "rows.jsonl").touch()
    assert half_written(tmp_path) == list(tmp_path.iterdir())
