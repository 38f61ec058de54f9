"""Tables and records that several tests of dataset versions need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tunesmith.data.content import dataset_hash
from tunesmith.data.reading.rows import ROW, number_rows
from tunesmith.data.versions.store import Versions
from tunesmith.store.entities.experiments import DatasetVersion


def reviews(*texts: str, **columns: list[Any]) -> pa.Table:
    """Rows with these texts, numbered from 1."""
    return number_rows(pa.table({"text": list(texts), **columns}))


def record(
    versions: Versions,
    tables: pa.Table | Mapping[str, pa.Table],
    name: str = "reviews",
    **more: Any,
) -> tuple[DatasetVersion, bool]:
    """Record tables, or one as the split `train`, with their own hash."""
    splits = {"train": tables} if isinstance(tables, pa.Table) else tables
    facts: dict[str, Any] = {
        "source": "reviews.csv",
        "split_by": {},
        "rules": {},
        "report": {},
        "label_counts": {},
    }
    return versions.record(name, splits, **{**facts, "hash": dataset_hash(splits), **more})


def texts(versions: Versions, reference: str, split: str = "train") -> list[Any]:
    """The texts of a version's rows."""
    table = versions.read(versions.get(reference))[split]
    assert table.column_names[-1] == ROW
    result: list[Any] = table.column("text").to_pylist()
    return result
