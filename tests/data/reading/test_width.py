"""Small files that would be huge tables: too many columns, or columns that hardly any row has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.width import MOST_COLUMNS
from tunesmith.errors import DataError


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows` in the format of the path's ending; of CSV and Parquet, the first alone."""
    lines = [json.dumps(row) for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [value] for name, value in rows[0].items()}), path)
    elif path.suffix == ".csv":
        path.write_text(",".join(rows[0]) + "\n" + ",".join(map(str, rows[0].values())) + "\n")
    else:
        path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]")
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_more_columns_than_anybody_trains_with_are_refused(ending: str, tmp_path: Path) -> None:
    widest = {f"column{number}": 1 for number in range(MOST_COLUMNS)}
    assert read_file(write(tmp_path / f"wide.{ending}", [widest])).table.num_rows == 1
    with pytest.raises(DataError, match="more than 2,000 columns; keep those with the texts"):
        read_file(write(tmp_path / f"wider.{ending}", [{**widest, "one": 1}]))


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_objects_that_share_no_keys_are_no_table(ending: str, tmp_path: Path) -> None:
    rows = [{f"k{number % MOST_COLUMNS}": 1} for number in range(3 * MOST_COLUMNS)]
    with pytest.raises(DataError, match="has 6,000 objects with 2,000 different keys, and hardly"):
        read_file(write(tmp_path / f"sparse.{ending}", rows))
    rows = [{"text": number, f"k{number % 100}": 1} for number in range(3 * MOST_COLUMNS)]
    assert read_file(write(tmp_path / f"usual.{ending}", rows)).table.num_rows == 6000


def test_keys_of_objects_within_objects_count_and_words_of_texts_do_not(tmp_path: Path) -> None:
    inner = [{"meta": {f"k{number}": 1}} for number in range(3000)]
    with pytest.raises(DataError, match="more than 2,000 columns"):
        read_file(write(tmp_path / "inner.jsonl", inner))
    words = [{"text": f'{{"k{number}": 1, "j{number}": 2}}'} for number in range(3000)]
    assert read_file(write(tmp_path / "words.jsonl", words)).table.num_rows == 3000
