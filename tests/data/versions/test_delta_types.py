"""Every Arrow type comes back from Delta Lake with the canonical text that it had."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.data.versions.version_tables import record

from tunesmith.data.content import canonical_strings, content_hash
from tunesmith.data.reading.rows import number_rows
from tunesmith.data.texts import is_chat
from tunesmith.data.versions.store import Versions

MOMENT = datetime.fromisoformat("2020-02-29T01:02:03.000004")
CHAT = [{"role": "user", "content": 'Höflich: "ja"?\n'}, {"role": "assistant", "content": "是"}]
TURN = pa.struct([("role", pa.string()), ("content", pa.string())])

COLUMNS: dict[str, tuple[list[Any], pa.DataType | None]] = {
    "bool": ([True, None], None),
    "int8": ([-128, None], pa.int8()),
    "int64": ([2**63 - 1, -(2**63)], pa.int64()),
    "uint8": ([255, None], pa.uint8()),
    "uint16": ([65535, None], pa.uint16()),
    "uint32": ([2**32 - 1, None], pa.uint32()),
    "uint64": ([2**64 - 1, None], pa.uint64()),
    "float16": ([0.1, None], pa.float16()),
    "float32": ([0.1, None], pa.float32()),
    "float64": ([0.1, 1e300], pa.float64()),
    "integral floats": ([3.0, -0.0], pa.float64()),
    "odd floats": ([float("nan"), float("-inf")], pa.float64()),
    "decimal32": ([Decimal("1.500"), None], pa.decimal32(5, 3)),
    "decimal64": ([Decimal("1.500"), None], pa.decimal64(15, 3)),
    "decimal128": ([Decimal("0.00000150"), None], pa.decimal128(38, 8)),
    "decimal256": ([Decimal("1.5"), None], pa.decimal256(70, 1)),
    "negative scale": ([Decimal("1200"), None], pa.decimal128(10, -2)),
    "string": (["", None], pa.string()),
    "large string": (["\0 \r\n影評🎬", None], pa.large_string()),
    "string view": (["a", None], pa.string_view()),
    "dictionary": (["a", None], pa.dictionary(pa.int32(), pa.string())),
    "dictionary of numbers": ([2**40, None], pa.dictionary(pa.int8(), pa.uint64())),
    "binary": ([b"\x00\xff", None], pa.binary()),
    "binary of one size": ([b"ab", None], pa.binary(2)),
    "binary view": ([b"ab", None], pa.binary_view()),
    "date32": ([date(1066, 10, 14), None], pa.date32()),
    "date64": ([date(2020, 2, 29), None], pa.date64()),
    "seconds": ([MOMENT, None], pa.timestamp("s")),
    "milliseconds": ([MOMENT, None], pa.timestamp("ms", "UTC")),
    "microseconds": ([MOMENT, None], pa.timestamp("us")),
    "microseconds in UTC": ([MOMENT, None], pa.timestamp("us", "UTC")),
    "microseconds in Taipei": ([MOMENT, None], pa.timestamp("us", "Asia/Taipei")),
    "nanoseconds": ([1582938123000000004, None], pa.timestamp("ns")),
    "time32": ([time(1, 2, 3), None], pa.time32("s")),
    "time64": ([time(1, 2, 3, 4), None], pa.time64("ns")),
    "duration": ([timedelta(seconds=5), None], pa.duration("ms")),
    "null": ([None, None], pa.null()),
    "list": ([["a", None], None], pa.list_(pa.string())),
    "empty list": ([[], ["a"]], pa.list_(pa.string())),
    "large list": ([[1, 2], None], pa.large_list(pa.uint8())),
    "list of one size": ([[1, 2], None], pa.list_(pa.int64(), 2)),
    "list view": ([[1, 2], None], pa.list_view(pa.int64())),
    "list of float16": ([[0.1], None], pa.list_(pa.float16())),
    "list of uint64": ([[2**64 - 1], None], pa.list_(pa.uint64())),
    "list of times": ([[time(1, 2)], None], pa.list_(pa.time64("us"))),
    "list of moments": ([[MOMENT], None], pa.list_(pa.timestamp("ns", "Asia/Taipei"))),
    "list of decimals": ([[Decimal("1.50")], None], pa.list_(pa.decimal128(5, 2))),
    "list of nulls": ([[None], []], pa.list_(pa.null())),
    "chat": ([CHAT, None], pa.list_(TURN)),
    "chat with gaps": ([[{"role": "user", "content": None}, None], []], pa.list_(TURN)),
    "struct": ([{"role": "user", "content": None}, None], TURN),
    "nested struct": ([{"a": {"b": [1]}}, {"a": None}], None),
    "empty struct": ([{}, None], pa.struct([])),
    "doubled in capitals": ([{"A": 1, "a": 2}, None], None),
    "map": ([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
}


def column(name: str) -> pa.ChunkedArray:
    values, kind = COLUMNS[name]
    return pa.chunked_array([pa.array(values, kind)])


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(str(tmp_path))


def test_every_type_comes_back_with_its_text(versions: Versions) -> None:
    table = pa.table({name: column(name) for name in COLUMNS})
    record(versions, number_rows(pa.table({"before": ["any", "table"]})))
    version, _ = record(versions, number_rows(table))
    read = versions.read(version)["train"]
    assert read.column_names == [*COLUMNS, "_row"]
    for name in COLUMNS:
        want = canonical_strings(column(name)).to_pylist()
        assert canonical_strings(read.column(name)).to_pylist() == want, name
    assert content_hash(read) == content_hash(table)
    assert versions.restore("reviews@1").columns == ("before",)


def test_missing_values_stay_missing_and_chats_stay_chats(versions: Versions) -> None:
    table = pa.table({name: column(name) for name in COLUMNS})
    version, _ = record(versions, number_rows(table))
    read = versions.read(version)["train"]
    for name in COLUMNS:
        assert read.column(name).null_count == column(name).null_count, name
    assert read.column("chat").to_pylist() == [CHAT, None]
    assert is_chat(read.column("chat").type)
    for name in ("bool", "int8", "float64", "date32", "decimal128", "microseconds in UTC"):
        assert read.column(name).type == column(name).type


def test_splits_may_have_different_columns_and_types(versions: Versions) -> None:
    splits = {
        "train": {
            "text": ["a", "b"],
            "label": [1, 2],
            "score": pa.array([0.1, 0.5], pa.float32()),
            "chat": pa.array([CHAT, []], pa.list_(TURN)),
            "only": ["here", None],
            "small": pa.array([1, 2], pa.int8()),
        },
        "test": {
            "small": pa.array([2**40], pa.int64()),
            "chat": [[{"content": "hi", "name": "me", "role": "user"}]],
            "label": ["one"],
            "text": pa.array([None], pa.null()),
            "score": [0.1],
        },
    }
    tables = {split: number_rows(pa.table(columns)) for split, columns in splits.items()}
    version, _ = record(versions, tables)
    assert version.columns == ("text", "label", "score", "chat", "only", "small")
    read = versions.read(version)
    for split, table in tables.items():
        assert read[split].column_names == [*splits[split], "_row"]
        assert content_hash(read[split]) == content_hash(table)
    assert is_chat(read["train"].column("chat").type)
    assert read["train"].column("small").type == pa.int64()
    chats = [table.select(["chat"]) for table in read.values()]
    assert pa.concat_tables(chats).num_rows == 3


NAMES = [
    "Text",
    "text",
    "TEXT",
    "text (2)",
    "a b,c;{}()=\n\t",
    "*",
    "^.*$",
    "a.b",
    "",
    "\0",
    "影評",
]


def test_any_name_of_a_column_comes_back(versions: Versions) -> None:
    table = pa.table([pa.array([name]) for name in NAMES], names=NAMES)
    version, _ = record(versions, number_rows(table))
    assert version.columns == tuple(NAMES)
    read = versions.read(version)["train"]
    assert read.drop_columns(["_row"]).to_pydict() == table.to_pydict()


def test_columns_of_ours_are_not_kept(versions: Versions) -> None:
    table = number_rows(pa.table({"text": ["a"], "_split": ["x"], "_reason": ["y"]}))
    version, _ = record(versions, table)
    assert version.columns == ("text",)
    assert versions.read(version)["train"].to_pylist() == [{"text": "a", "_row": 1}]
