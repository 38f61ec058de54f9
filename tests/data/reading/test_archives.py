"""Archives, and what is packed with xz."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import openpyxl
import pyarrow as pa
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.sources import Source, read_source
from tunesmith.errors import DataError

CSV = b"text,label\na b,1\nc d,0\n"
LINES = b'{"text": "a", "label": "x"}\n'


def write_zip(path: Path, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in options["files"].items():
            archive.writestr(name, content)
    return path


def rows(source: Source) -> dict[str, int]:
    return {split: table.num_rows for split, table in source.tables.items()}


def test_a_zip_of_one_table_is_that_table(tmp_path: Path) -> None:
    files = {"reviews.csv": CSV, "__MACOSX/._reviews.csv": b"\0", "LICENSE": b"free"}
    source = read_source(str(write_zip(tmp_path / "a.zip", files=files)))
    assert rows(source) == {"train": 2}
    assert source.kind == "file"
    assert source.location == str(tmp_path / "a.zip")
    assert source.read_as["train"].format == "csv"


def test_a_zip_of_a_file_for_each_split_has_these_splits(tmp_path: Path) -> None:
    files = {"data/train.csv": CSV, "data/test.jsonl": LINES}
    source = read_source(str(write_zip(tmp_path / "a.zip", files=files)))
    assert rows(source) == {"train": 2, "test": 1}


def test_a_workbook_in_a_zip_is_read(tmp_path: Path) -> None:
    book, inner = openpyxl.Workbook(), io.BytesIO()
    for row in (["text", "label"], ["a", 1]):
        book.active.append(row)
    book.save(inner)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.xlsx", inner.getvalue())
    assert rows(read_source(str(tmp_path / "a.zip"))) == {"train": 1}


@pytest.mark.parametrize("packed", ["", "gz", "bz2", "xz", "zst"])
def test_a_tar_is_read_without_its_links(tmp_path: Path, packed: str) -> None:
    mode: Any = f"w:{packed}" if packed not in ("", "zst") else "w:"
    path = tmp_path / f"a.tar{'.' * bool(packed)}{packed}"
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo("x/train.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV))
        link = tarfile.TarInfo("x/test.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    if packed == "zst":
        path.write_bytes(pa.Codec("zstd").compress(path.read_bytes(), asbytes=True))
    assert rows(read_source(str(path))) == {"train": 2}


def test_xz_is_unpacked_as_other_compressions(tmp_path: Path) -> None:
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(CSV))
    (tmp_path / "b.csv").write_bytes(lzma.compress(CSV))
    for name in ("a.csv.xz", "b.csv"):
        assert read_file(tmp_path / name).table.num_rows == 2
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(CSV)[:-20])
    with pytest.raises(DataError, match=r"cut short or not a \.xz file"):
        read_file(tmp_path / "a.csv.xz")
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(b"text\n" + b"a" * (300 << 20), preset=0))
    with pytest.raises(DataError, match="over 100 times its size"):
        read_file(tmp_path / "a.csv.xz")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.csv": CSV, "b.csv": CSV}, r"holds 2 data files \(a\.csv, b\.csv\)"),
        ({"../../evil.csv": CSV}, "name leads out of it"),
        ({"/evil.csv": CSV}, "name leads out of it"),
        ({"train.csv": b"text,text\n1,2\n"}, r"a\.zip/train\.csv:1 the header has the same name"),
        ({f"{n}.csv": CSV for n in range(1001)}, "more than 1,000 files"),
    ],
)
def test_what_no_table_can_be_found_in_is_refused_by_the_archives_name(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as error:
        read_source(str(write_zip(tmp_path / "a.zip", files=files)))
    assert "/tunesmith-" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_small_archive_of_much_text_is_refused(
    tmp_path: Path, kind: Literal["zip", "tar"]
) -> None:
    size = 300 << 20
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("a.csv", "w") as part,
        ):
            for _ in range(300):
                part.write(b"a" * (1 << 20))
    else:
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            info = tarfile.TarInfo("a.csv")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    with pytest.raises(DataError, match="over 100 times its size"):
        read_source(str(path))


def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", files={"a.csv": CSV})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="can't be unpacked"):
        read_source(str(path))
