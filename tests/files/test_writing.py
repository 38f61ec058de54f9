"""Files of an experiment are visible whole or not at all, whoever writes them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunesmith.errors import StorageError, UserError
from tunesmith.experiments.cleanup.leftovers import half_written
from tunesmith.files.writing import (
    beside,
    made_whole,
    placed,
    write_json,
    write_lines,
    write_text,
)


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


def test_a_folder_takes_the_place_of_another_at_once_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    for content in ("first", "second"):
        with made_whole(place) as staging:
            staging.mkdir()
            (staging / content).write_text(content)
            assert not (place / content).exists()
        assert [path.name for path in place.iterdir()] == [content]
    with pytest.raises(FileExistsError), made_whole(place):
        place.touch(exist_ok=False)
    assert [path.name for path in place.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [place]


def test_what_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    with made_whole(place, stays=Path.is_file) as staging:
        staging.write_text("slow")
        place.write_text("fast")
    assert place.read_text() == "fast"
    assert list(tmp_path.iterdir()) == [place]


def test_what_was_made_has_the_mode_of_what_is_made_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sibling").mkdir()
    with made_whole(tmp_path / "made") as staging:
        staging.mkdir(mode=0o700)
        (staging / "file").touch(mode=0o600)
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "sibling").stat().st_mode
    (tmp_path / "sibling" / "file").touch()
    assert (tmp_path / "made" / "file").stat().st_mode == (
        (tmp_path / "sibling" / "file").stat().st_mode
    )


def test_a_private_file_stays_private_and_a_long_name_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "token", "secret", private=True)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    long = tmp_path / f"{'資' * 80}.json"  # 245 bytes, of 255 that a file system takes
    write_json(long, [])
    assert long.read_text() == "[]\n"


def test_what_lies_in_a_users_place_is_replaced_only_when_that_is_asked_for(
    tmp_path: Path,
) -> None:
    place = tmp_path / "model"
    place.mkdir()
    with pytest.raises(UserError, match="--force replaces it"), placed(place, force=False):
        pytest.fail("it is there")
    with placed(place, force=True) as staging:
        assert staging.name == "model"
        staging.write_text("a file")
    assert place.read_text() == "a file"
    with (
        pytest.raises(StorageError, match=r"model/inner can't be written: .* -o names another"),
        placed(place / "inner", force=False),
    ):
        pytest.fail("a file is no folder")
    with (
        pytest.raises(StorageError, match=r"model can't be written: the disk of .* is full"),
        placed(place, force=True),
    ):
        raise OSError(28, "No space left on device")
    assert place.read_text() == "a file"
