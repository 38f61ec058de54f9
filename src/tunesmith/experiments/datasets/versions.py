"""Versions of datasets compared with each other, and written to files."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data.reading.files import UNREAD, ending
from tunesmith.data.versions.diff import VersionDiff, diff
from tunesmith.data.versions.held_out import whole_tables
from tunesmith.data.writing import write_table
from tunesmith.errors import DataError, NotFoundError, nearest
from tunesmith.experiments.datasets.importing import open_versions
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion


def compare_versions(
    old: str, new: str, settings: Settings, examples: int
) -> tuple[DatasetVersion, DatasetVersion, VersionDiff]:
    """Two versions, and what changed between them. Raises NotFoundError when one isn't there."""
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
    reference: str,
    target: Path,
    split: str | None,
    settings: Settings,
    *,
    force: bool,
    mark: bool = True,
) -> list[Path]:
    """Write a version's rows to `target`: a file, or a folder with a file for each split.

    A split that Tunesmith held out is put back where its rows were, so that the file imported again
    has the same content. `mark` is as `write_table` has it. Raises NotFoundError for an unknown
    version or split, DataError when something is there already, or for an ending that can't be
    written.
    """
    versions = open_versions(settings)
    version = versions.get(reference)
    tables = versions.read(version)
    if split is not None:
        if split not in tables:
            near = nearest(split, tables)
            hint = say("; did you mean {name}?", name=near) if near else ""
            raise NotFoundError(
                "{reference} has no split {split}; it has {names}{hint}",
                reference=version.reference,
                split=repr(split),
                names=list(tables),
                hint=hint,
            )
        tables = {split: tables[split]}
    else:
        tables = whole_tables(tables, version.split_by)
    if ending(target.name) != ("", "") or target.suffix.lower() in UNREAD:
        if len(tables) > 1:
            raise DataError(
                "{reference} has {n} splits ({names}), and {target} is one file: name a "
                "folder, or choose one with --split",
                reference=version.reference,
                n=len(tables),
                names=list(tables),
                target=target,
            )
        files = {target: next(iter(tables.values()))}
    else:
        files = {target / f"{name}.parquet": table for name, table in tables.items()}
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise DataError("{names} is there already; --force overwrites it", names=list(there))
    for path, table in files.items():
        write_table(table, path, mark=mark)
    return list(files)
