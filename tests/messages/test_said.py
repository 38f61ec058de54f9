"""What is wrong, and how things end, is said in other languages to its last part."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.languages import is_translated

from tunesmith.data.reading.files import read_file
from tunesmith.errors import DataError
from tunesmith.jobs.workers.endings import CRASHES, judge_ending

BROKEN = {
    "empty.csv": b"",
    "blank.csv": b"text,label\n\n\n",
    "headless.csv": b"0.5,1\n0.7,2\n0.9,3\n",
    "page.csv": b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
    "doubled.csv": b"text,text\na,b\n",
    "pointer.csv": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
    "ragged.csv": b"text,label\na\nb\nc,1,2\n",
    "noise.csv": b"text,label\n" + bytes(n * n * 37 % 255 + 1 for n in range(6000)),
    "zip.csv": b"PK\x03\x04" + bytes(40),
    "cut.csv.gz": b"\x1f\x8b\x08" + bytes(9),
    "sheet.xlsx": b"PK",
    "broken.jsonl": b'{"text": \n{"text" 1}\n',
    "number.json": b"12",
    "twice.json": b'[{"a": 1, "a": 2}]',
    "cut.parquet": b"PAR1" + bytes(40),
}


@pytest.mark.parametrize("number", [9, 15, *CRASHES])
def test_every_ending_of_a_process_has_its_translation(number: int) -> None:
    for out_of_memory in (False, True):
        reason = judge_ending(-number, 7, "", out_of_memory=out_of_memory).reason
        assert is_translated(reason), reason


@pytest.mark.parametrize("name", [*BROKEN, "missing.csv"])
def test_what_is_wrong_with_a_file_is_said_in_the_visitors_language(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name in BROKEN:
        path.write_bytes(BROKEN[name])
    with pytest.raises(DataError) as found:
        read_file(path)
    assert is_translated(str(found.value)), found.value
