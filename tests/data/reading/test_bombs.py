"""Small files that would fill the memory, and ways out of a folder."""

from __future__ import annotations

import bz2
import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.reading import compressed
from tunesmith.data.reading.files import read_file
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError

MIB = 1 << 20
REFUSED = r"expands from [\d,]+ KiB to more than \d+ MiB, over 100 times its size"


def refuse(path: Path) -> None:
    assert path.stat().st_size < 8 * MIB
    with pytest.raises(DataError, match=REFUSED):
        read_file(path)


# -- compression ------------------------------------------------------------------------------


def test_a_small_gzip_file_of_much_text_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wb", compresslevel=9) as stream:
        stream.write(b"text\n")
        for _ in range(300):
            stream.write(b"a" * (MIB - 1) + b"\n")
    refuse(tmp_path / "a.csv.gz")


def test_a_small_zstandard_file_of_much_text_is_refused(tmp_path: Path) -> None:
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as stream:
        for _ in range(300):
            stream.write(b" " * (MIB - 1) + b"\n")
    refuse(tmp_path / "a.jsonl.zst")


def test_a_small_bzip2_file_of_many_parts_is_refused(tmp_path: Path) -> None:
    part = bz2.compress(b"a" * (10 * MIB - 1) + b"\n")
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(b"text\n") + part * 30)
    refuse(tmp_path / "a.csv.bz2")


def test_text_that_shrinks_well_is_read(tmp_path: Path) -> None:
    content = b"text,label\n" + b"the same review again,1\n" * 1_000_000  # 24 MB, to 1/300
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content, mtime=0))
    assert (tmp_path / "a.csv.gz").stat().st_size * 100 < len(content)
    assert read_file(tmp_path / "a.csv.gz").table.num_rows == 1_000_000


def test_no_file_may_unfold_to_more_than_a_third_of_the_memory_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "memory_left", lambda: 200 * MIB)
    line = b"a review that stands here again,1\n"
    content = b"text,label\n" + line * (80 * MIB // len(line))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content, 1, mtime=0))
    table = pa.table({"text": [line.decode() * 100] * (80 * MIB // len(line) // 100)})
    pq.write_table(table, tmp_path / "b.parquet", use_dictionary=False, compression="zstd")
    for name in ("a.csv.gz", "b.parquet"):
        with pytest.raises(DataError, match="more than 66 MiB, a third of the memory that is left"):
            read_file(tmp_path / name)
    with pytest.raises(DataError, match="a third of the memory that is left"):
        compressed.check_size(tmp_path / "a.csv.gz")


# -- Parquet ----------------------------------------------------------------------------------


def repeated(values: list[str], rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(values))


def test_one_long_text_in_a_hundred_thousand_rows_is_refused(tmp_path: Path) -> None:
    text = pa.table({"text": pa.array(["x" * 1_000_000] * 100)})
    with pq.ParquetWriter(tmp_path / "plain.parquet", text.schema) as writer:
        for _ in range(4):
            writer.write_table(text)
    refuse(tmp_path / "plain.parquet")
    table = pa.table({"text": repeated(["x" * 1_000_000], 100_000)})
    pq.write_table(table, tmp_path / "a.parquet")
    refuse(tmp_path / "a.parquet")
    packed = gzip.compress((tmp_path / "a.parquet").read_bytes())
    (tmp_path / "b.parquet.gz").write_bytes(packed)
    refuse(tmp_path / "b.parquet.gz")


def test_rows_beyond_counting_are_refused_before_they_are_read(tmp_path: Path) -> None:
    zeros = pa.table({"n": pa.array(np.zeros(5_000_000, np.int64))})
    with pq.ParquetWriter(tmp_path / "a.parquet", zeros.schema) as writer:
        for _ in range(10):
            writer.write_table(zeros)
    refuse(tmp_path / "a.parquet")


def test_lists_beyond_counting_are_refused(tmp_path: Path) -> None:
    many = pa.array(np.zeros(10_000_000, np.int64))
    lists = pa.ListArray.from_arrays(pa.array([0, len(many)], pa.int32()), many)
    table = pa.table({"list": pa.chunked_array([lists] * 5)})
    pq.write_table(table, tmp_path / "a.parquet")
    refuse(tmp_path / "a.parquet")


def test_a_parquet_file_of_equal_texts_is_read(tmp_path: Path) -> None:
    for kind in (pa.string(), pa.dictionary(pa.int32(), pa.string())):
        table = pa.table({"text": repeated(["the same review"], 1_000_000).cast(kind)})
        pq.write_table(table, tmp_path / "a.parquet")
        found = read_file(tmp_path / "a.parquet").table
        assert found.num_rows == 1_000_000
        assert found["text"].type == pa.string()
        assert found["text"].num_chunks < 20
        assert found["text"].unique().to_pylist() == ["the same review"]


def test_a_parquet_file_with_a_damaged_byte_is_read_or_refused(tmp_path: Path) -> None:
    # Some such files made the reader abort the process, so one process each would prove no more.
    chats = [[{"role": "user", "content": f"question {n}"}] for n in range(50)]
    table = pa.table({"text": [f"row {n}" for n in range(50)], "chat": chats})
    pq.write_table(table, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[rng.randrange(4, len(whole))] = rng.randrange(256)
        (tmp_path / "a.parquet").write_bytes(damaged)
        try:
            read_file(tmp_path / "a.parquet")
        except DataError:
            refused += 1
    assert refused > 100


# -- ways out of a folder ---------------------------------------------------------------------


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "data" / "train.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(
        DataError, match=r"train\.csv is a symbolic link that leads out of the fold"
    ):
        read_source(str(tmp_path / "data"))
    (tmp_path / "data" / "train.csv").unlink()
    (tmp_path / "data" / "inner" / "up").symlink_to("../..", target_is_directory=True)
    with pytest.raises(DataError, match="up is a symbolic link that leads out of the folder"):
        read_source(str(tmp_path / "data"))


def test_a_link_within_a_folder_and_a_linked_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reviews.csv").write_text("text\nfine\n")
    (tmp_path / "data" / "train.csv").symlink_to("reviews.csv")
    (tmp_path / "link").symlink_to("data")
    assert read_source(str(tmp_path / "link")).tables["train"]["text"].to_pylist() == ["fine"]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("../secret.csv", r"names data outside of the folder \(\.\./secret\.csv\)"),
        ("/etc/passwd", "names data outside of the folder"),
        ("https://example.org/a.csv", "names data outside of the folder"),
        ("hf://datasets/owner/name/a.csv", "names data outside of the folder"),
        ("data.zip", r"names an archive \(data\.zip\)"),
    ],
)
def test_a_card_names_only_what_lies_in_its_folder(
    tmp_path: Path, named: str, message: str
) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: a\n  data_files:\n  - split: train\n    path: ['{named}']\n"
        "---\n# Card\n"
    )
    with pytest.raises(DataError, match=message):
        read_source(str(folder))


CONFIGS = "configs: [{config_name: a, data_files: ../secret.csv}]\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".huggingface.yaml", CONFIGS),
        ("README.md", f"\n---\n{CONFIGS}---\n"),
        ("README.md", f"---\n---x: 1\n{CONFIGS}---\n"),
        ("README.md", f"---\n# seen\n---\r{CONFIGS}---\n"),
    ],
)
def test_settings_are_seen_wherever_they_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(text.encode())
    with pytest.raises(DataError, match="names data outside of the folder"):
        read_source(str(tmp_path / "data"))


def test_settings_that_repeat_themselves_by_aliases_are_looked_at_once(tmp_path: Path) -> None:
    lists = [f"- &a{n} [" + ", ".join([f"*a{n - 1}"] * 10 if n else ["x"]) + "]" for n in range(30)]
    (tmp_path / "README.md").write_text(
        "---\nother:\n" + "\n".join(lists) + "\nconfigs:\n- data_files: [*a29, /etc/passwd]\n---\n"
    )
    with pytest.raises(DataError, match=r"names data outside of the folder \(/etc/passwd\)"):
        read_source(str(tmp_path))


def test_a_folder_of_archives_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"holds an archive \(data\.zip\).*unpack it first"):
        read_source(str(tmp_path))


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is not a regular file"):
        read_source(str(tmp_path / "endless.csv"))
