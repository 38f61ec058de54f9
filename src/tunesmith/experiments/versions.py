"""Versions of datasets compared with each other, and written to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.data.reading.files import UNREAD, ending
from tunesmith.data.reading.rows import ROW
from tunesmith.data.versions.diff import VersionDiff, diff
from tunesmith.data.writing import write_table
from tunesmith.errors import DataError, NotFoundError, nearest
from tunesmith.experiments.datasets import HELD_OUT, open_versions
from tunesmith.settings import Settings
from tunesmith.tracking.entities import DatasetVersion


def compare_versions(
    old: str, new: str, settings: Settings, examples: int
) -> tuple[DatasetVersion, DatasetVersion, VersionDiff]:
    """Two versions, and what changed from one to the other.

    Raises NotFoundError when one of them isn't there.
    """
    versions = open_versions(settings)
    before, after = versions.get(old), versions.get(new)
    roles = after.report.get("columns", {})
    changes = diff(
        versions.read(before),
        versions.read(after),
        text_columns=[name for role, name in roles.items() if role != "label"] or None,
        label_column=roles.get("label"),
        examples=examples,
    )
    return before, after, changes


def export_version(
    reference: str, target: Path, split: str | None, settings: Settings, *, force: bool
) -> list[Path]:
    """Write a version's rows to `target`: a file, or a folder with a file for each split.

    A split that Tunesmith held out is put back where its rows were, so that the file imported again
    has the same content. Raises NotFoundError for an unknown version or split, DataError when
    something is there already, or for an ending that can't be written.
    """
    versions = open_versions(settings)
    version = versions.get(reference)
    tables = versions.read(version)
    if split is not None:
        if split not in tables:
            near = nearest(split, tables)
            hint = f"; did you mean {near}?" if near else ""
            raise NotFoundError(
                f"{version.reference} has no split {split!r}; it has {', '.join(tables)}{hint}"
            )
        tables = {split: tables[split]}
    else:
        tables = whole_tables(tables, version.split_by)
    if ending(target.name) != ("", "") or target.suffix.lower() in UNREAD:
        if len(tables) > 1:
            raise DataError(
                f"{version.reference} has {len(tables)} splits ({', '.join(tables)}), and {target} "
                "is one file: name a folder, or choose one with --split"
            )
        files = {target: next(iter(tables.values()))}
    else:
        files = {target / f"{name}.parquet": table for name, table in tables.items()}
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise DataError(f"{', '.join(there)} is there already; --force overwrites it")
    for path, table in files.items():
        write_table(table, path)
    return list(files)


def whole_tables(
    tables: Mapping[str, pa.Table], split_by: Mapping[str, Any]
) -> dict[str, pa.Table]:
    """A version's splits as its source had them: held-out rows where they were."""
    tables = dict(tables)
    if not split_by:
        return tables
    split = split_by.get("split", "train")
    together = pa.concat_tables([tables.pop(split), tables.pop(HELD_OUT)])
    return {split: together.sort_by(ROW), **tables}
