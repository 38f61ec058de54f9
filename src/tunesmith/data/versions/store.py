"""Dataset versions, kept as Delta Lake tables: recorded, found, read, tagged and restored.

Each dataset is one table in a folder or S3 bucket, each version one state of it, so that plain
Delta tools read them too. A version is never changed and never lost.
"""

from __future__ import annotations

import builtins
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import polars as pl
import pyarrow as pa

from tunesmith.data.reading.files import endings
from tunesmith.data.reading.rows import ROW
from tunesmith.data.versions.delta_errors import as_our_errors, reason
from tunesmith.data.versions.delta_types import (
    SPLIT,
    StoredColumn,
    stored_batches,
    stored_columns,
    stored_schema,
)
from tunesmith.data.versions.log import Conflict, Logged, Odd, VersionLog
from tunesmith.data.versions.names import check_name, check_tag, find_number, hint
from tunesmith.data.versions.root import VersionRoot
from tunesmith.errors import AccessError, DataError, NotFoundError, StorageError
from tunesmith.messages import say
from tunesmith.names import Version, canonical, is_name
from tunesmith.store.entities.experiments import DatasetVersion, utc_now

MOST_ODD = 10_000
"""Rows of one column whose value is of another type than most that a version keeps, at most."""

ATTEMPTS = 100
"""So often a commit is tried while other processes commit before it."""


class Versions:
    """The dataset versions under `root`, a folder or `s3://bucket/prefix`.

    Credentials and endpoint of S3 come from the environment (`AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …). A folder is made when the first
    version is recorded. Any number of processes may use one root at once. Every method may raise
    DataError for a damaged table, and StorageError when the storage can't be used.

    Raises DataError when nothing can be kept under `root`.
    """

    def __init__(self, root: str) -> None:
        self._root = VersionRoot(root)
        self.root = self._root.address

    def record(
        self,
        name: str,
        tables: Mapping[str, pa.Table],
        *,
        may_add: Callable[[str], bool] | None = None,
        odd: Odd = MappingProxyType({}),
        **facts: Any,
    ) -> tuple[DatasetVersion, bool]:
        """Record the content of `tables` as a version of `name`; whether it is a new one.

        `tables` are split → rows, each with the int64 column `_row`; other columns whose name
        begins with `_` are left out. `odd` is as a source has it; where a column has more than
        MOST_ODD such rows, they are not kept. `facts` are other fields of DatasetVersion. Their
        `hash` names the content: where a version has it already, that one is returned and nothing
        changes. A new version becomes the current one. With `may_add`, which gets who made the
        dataset's first version, AccessError is raised where a new one would be made and it says no.

        Raises DataError when the name can't be used, there is no row, or the table of this name is
        none of Tunesmith's; StorageError when the version can't be written.
        """
        name = canonical(name)
        check_name(name)
        columns = stored_columns(tables)
        splits = {split: table.num_rows for split, table in tables.items()}
        draft = DatasetVersion(
            name=name,
            number=1,
            rows=sum(splits.values()),
            columns=tuple(column.name for column in columns),
            splits=splits,
            **facts,
        )
        if not draft.rows:
            raise DataError(
                "{name}: the data have no rows, of which a version needs at least one", name=name
            )
        token = secrets.token_hex(8)
        few = {
            split: {name: kinds for name, kinds in columns.items() if len(kinds) <= MOST_ODD}
            for split, columns in odd.items()
        }

        def commit(log: VersionLog) -> int:
            if may_add is not None and log.with_hash(draft.hash) is None:
                _require_owner(log, draft.created_by, may_add)
            return _add(log, draft, tables, columns, token, few)

        log, number = self._commit(lambda: self._root.log(name), commit)
        return log.version(number), log.versions[number].token == token

    def names(self) -> builtins.list[str]:
        """The names of all datasets, sorted."""
        return [name for name in self._root.names() if is_name(name, endings())]

    def list(self, name: str | None = None) -> builtins.list[DatasetVersion]:
        """The versions of all datasets, or of the one called `name`: newest first, then by name.

        Delta tables that are none of Tunesmith's are passed over. Raises NotFoundError when `name`
        isn't there.
        """
        logs = map(self._root.log, self.names()) if name is None else [self._log(name)]
        found = [log.version(number) for log in logs for number in log.versions]
        found.sort(key=lambda version: (version.name, -version.number))
        return sorted(found, key=lambda version: version.created_at, reverse=True)

    def current(self) -> builtins.list[tuple[DatasetVersion, int]]:
        """The current version of every dataset by name, and how many versions it has."""
        logs = [self._root.log(name) for name in self.names()]
        return [(log.version(log.current), len(log.versions)) for log in logs if log.versions]

    def get(self, reference: str) -> DatasetVersion:
        """The version that `reference` means.

        `reviews` is the current version, `reviews@3` that number, `reviews@latest` the highest
        number, and `reviews@gold` the version tagged so.

        Raises NotFoundError naming what there is, and the nearest name.
        """
        wanted = Version.of(reference)
        log = self._log(wanted.name)
        return log.version(find_number(log, wanted))

    def odd(self, version: DatasetVersion) -> Odd:
        """The rows of a version, by split and column, whose value was of another type than most.

        The column is text in the version, and which type theirs was stands beside their number.
        """
        return self._log(version.name).versions[version.number].odd

    def read(self, version: DatasetVersion, most: int | None = None) -> dict[str, pa.Table]:
        """Split → the version's rows in the order of `_row`, which is their last column.

        With `most`, the first so many of each split; no others are held in memory.

        Columns stand in the order in which they were recorded. Types may differ from those that
        were recorded (text is `large_string`); the canonical text of every value doesn't.

        Raises NotFoundError when the version isn't there, DataError when rows of it are gone.
        """
        log = self._log(version.name)
        logged = log.versions.get(version.number)
        if logged is None or logged.version.hash != version.hash:
            raise NotFoundError(
                "there is no version {reference} with the content {hash} in {folder}",
                reference=version.reference,
                hash=version.hash,
                folder=self.root,
            )
        stored = self._root.scan(log, logged.commit)
        with as_our_errors(log.what, "read"):
            tables = {split: _read_split(stored, split, logged, most) for split in logged.columns}
        expected = {
            split: rows if most is None else min(rows, most)
            for split, rows in logged.version.splits.items()
        }
        if {split: table.num_rows for split, table in tables.items()} != expected:
            raise DataError(
                "{what} is damaged: rows of {reference} are missing",
                what=log.what,
                reference=version.reference,
            )
        return tables

    def tag(self, reference: str, tag: str) -> DatasetVersion:
        """Give a version a name of its own, taking it from the version that has it now.

        Raises DataError for a tag that can't be used, NotFoundError when there is no such version.
        """
        tag = canonical(tag)
        check_tag(tag)

        def commit(log: VersionLog, number: int) -> None:
            if log.tags.get(tag) != number:
                log.tag(tag, number)

        return self._change(reference, commit)

    def untag(self, name: str, tag: str) -> None:
        """Take a tag away. Raises NotFoundError when no version of `name` has it."""
        name, tag = canonical(name), canonical(tag)
        check_name(name)

        def commit(log: VersionLog, _: int) -> None:
            if tag not in log.tags:
                raise NotFoundError(
                    "{name} has no tag {tag}{hint}",
                    name=name,
                    tag=repr(tag),
                    hint=hint(tag, log.tags, say("tags")),
                )
            log.tag(tag, None)

        self._change(name, commit)

    def restore(self, reference: str) -> DatasetVersion:
        """Make a version the current one: what its dataset's bare name means, and what plain Delta
        tools read. The versions after it stay.

        Raises NotFoundError when there is no such version, StorageError when it can't be written.
        """

        def commit(log: VersionLog, number: int) -> None:
            if number != log.current or log.is_touched:
                log.restore(number)

        return self._change(reference, commit)

    def _change(self, reference: str, change: Callable[[VersionLog, int], None]) -> DatasetVersion:
        """Commit a `change` of the version that `reference` means."""
        wanted = Version.of(reference)

        def commit(log: VersionLog) -> int:
            number = find_number(log, wanted)
            change(log, number)
            return number

        log, number = self._commit(lambda: self._log(wanted.name), commit)
        return log.version(number)

    def _log(self, name: str) -> VersionLog:
        """The log of the dataset called `name`. Raises NotFoundError when it isn't there."""
        name = canonical(name)
        check_name(name)
        log = self._root.log(name)
        if not log.versions:
            known = self.names()
            raise NotFoundError(
                "there is no dataset {name} in {folder}{hint}",
                name=repr(name),
                folder=self.root,
                hint=hint(name, [other for other in known if other != name], "datasets"),
            )
        return log

    def _commit(
        self, read: Callable[[], VersionLog], commit: Callable[[VersionLog], int]
    ) -> tuple[VersionLog, int]:
        """Read the log and commit to it, again when another process was faster.

        The log as it is then, and what `commit` returned. Raises StorageError when commits are
        refused though none was made meanwhile, or nothing but others' commits succeed.
        """
        log = read()
        for attempt in range(ATTEMPTS):
            try:
                number = commit(log)
            except Conflict as conflict:
                # Drawn waiting times, so that those who collided don't collide again.
                time.sleep(random.uniform(0, min(0.02 * 2**attempt, 1)))
                before, log = log.commit, read()
                if log.commit == before:
                    raise StorageError(
                        "{path} can't be written: {error}",
                        path=log.what,
                        error=reason(conflict.__cause__ or conflict),
                    ) from conflict
            else:
                return read(), number
        raise StorageError(
            "{what} can't be written: other processes committed first, {n} times",
            what=log.what,
            n=ATTEMPTS,
        )


def _require_owner(log: VersionLog, created_by: str, may_add: Callable[[str], bool]) -> None:
    """Raises AccessError when `may_add` says no to who made the first version."""
    if log.versions and not may_add((first := log.version(min(log.versions))).created_by):
        raise AccessError(
            "the dataset {name} is {who}'s, whose bare name a new version would "
            "change: {other} may add versions only to datasets of their own; choose "
            "another name.",
            name=first.name,
            who=first.created_by or say("nobody"),
            other=created_by,
        )


def _add(
    log: VersionLog,
    draft: DatasetVersion,
    tables: Mapping[str, pa.Table],
    columns: list[StoredColumn],
    token: str,
    odd: Odd,
) -> int:
    """Commit `draft` as the next version, unless its content is there; the content's number."""
    if log.table is not None and not log.versions:
        raise DataError(
            "{what} is a Delta table that Tunesmith didn't make; choose another name", what=log.what
        )
    there = log.with_hash(draft.hash)
    if there is not None:
        return there.version.number
    parent = max(log.versions, default=None)
    version = replace(draft, number=(parent or 0) + 1, parent=parent, created_at=utc_now())
    stored = {column.name: column.stored_name for column in columns}
    by_split = {
        split: {name: stored[name] for name in table.column_names if name in stored}
        for split, table in tables.items()
    }
    rows = pa.RecordBatchReader.from_batches(
        stored_schema(columns), stored_batches(tables, columns)
    )
    log.add(version, by_split, token, rows, odd)
    return version.number


def _read_split(stored: pl.LazyFrame, split: str, logged: Logged, most: int | None) -> pa.Table:
    wanted = stored.filter(pl.col(SPLIT) == split)
    if most is not None:
        # Numbers first, which are small; then only the rows of the lowest are read whole.
        first = wanted.select(pl.col(ROW).bottom_k(most)).collect()[ROW]
        wanted = wanted.filter(pl.col(ROW) <= first.max())
    rows = wanted.drop(SPLIT).collect()
    if not rows[ROW].is_sorted():  # Delta's writer keeps no order
        rows = rows.sort(ROW)
    table = rows.to_arrow()
    columns = logged.columns[split]
    return table.select([*columns.values(), ROW]).rename_columns([*columns, ROW])
