"""Texts that come with their labels around them: a folder for each label, or fastText's lines."""

# ruff: noqa: RUF001

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError


def write(folder: Path, texts: dict[str, str], encoding: str = "utf-8") -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode(encoding))
    return folder


def rows(table: Any) -> list[tuple[str, str]]:
    return list(zip(table["label"].to_pylist(), table["text"].to_pylist(), strict=True))


IMDB = {"pos/0_9.txt": "Fine.\nYes.", "neg/0_2.txt": "Bad.", "neg/1_1.txt": "Worse."}
READ = [("neg", "Bad."), ("neg", "Worse."), ("pos", "Fine.\nYes.")]


def test_each_text_of_a_folder_has_its_folders_name_as_label(tmp_path: Path) -> None:
    source = read_source(
        str(write(tmp_path, {**IMDB, "labeledBow.feat": "0:1", "unsup/1.txt": "?"}))
    )
    assert rows(source.tables["train"]) == READ
    assert [str(line) for line in source.reading()] == [
        "read as a folder of texts for each label", "not read: labeledBow.feat, unsup",
    ]  # fmt: skip


def test_folders_named_by_split_are_splits_also_in_an_archive(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "a",
        {f"{split}/{name}": IMDB[name] for split in ("train", "test") for name in IMDB},
    )
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder, "a")
    for place in (folder, tmp_path / "a.tar.gz"):
        source = read_source(str(place))
        assert {split: rows(table) for split, table in source.tables.items()} == {
            "train": READ, "test": READ,
        }  # fmt: skip


def test_folders_of_splits_are_no_labels(tmp_path: Path) -> None:
    source = read_source(str(write(tmp_path, {"train/a.txt": "x\n", "test/b.txt": "y\n"})))
    assert source.kind == "folder"
    assert "label" not in source.tables["train"].column_names


def test_a_texts_encoding_is_found_out_and_said(tmp_path: Path) -> None:
    texts = {
        "好/1.txt": "這個水壺很好用，第一次購買就很滿意。",
        "壞/2.txt": "用了兩天就壞掉，退貨還要自己付運費。",
    }
    source = read_source(str(write(tmp_path, texts, "cp950")))
    assert dict(rows(source.tables["train"])) == {name[0]: text for name, text in texts.items()}
    assert any("not UTF-8 but cp950, and reads: " in str(line) for line in source.reading())


def test_a_text_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    (write(tmp_path, IMDB) / "pos" / "bad.txt").write_bytes(bytes(range(128, 256)) * 4)
    source = read_source(str(tmp_path))
    assert rows(source.tables["train"]) == READ
    (lost,) = source.unreadable["train"]
    assert (lost.line, lost.text) == (4, "pos/bad.txt")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = write(tmp_path / "a", IMDB)
    (folder / "pos" / "2.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="a symbolic link that leads out of the folder"):
        read_source(str(folder))


@pytest.mark.parametrize(
    ("lines", "column", "labels"),
    [
        ("__label__a  Fine, a __label__ b\n\n__label__b No\n", "label", ["a", "b"]),
        (
            "__label__a __label__b Fine, a __label__ b\n__label__b No\n",
            "labels",
            [["a", "b"], ["b"]],
        ),
    ],
)
def test_fasttexts_lines_begin_with_their_labels(
    tmp_path: Path, lines: str, column: str, labels: list[Any]
) -> None:
    (tmp_path / "train.txt").write_text(lines)
    found = read_file(tmp_path / "train.txt", ReadingOptions())
    assert found.format == "fasttext"
    assert found.table["text"].to_pylist() == ["Fine, a __label__ b", "No"]
    assert found.table[column].to_pylist() == labels
