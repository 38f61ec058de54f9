"""One dataset's Delta log: what its commits say of versions, tags and the current version.

A version is a commit that overwrites the table; restoring one is Delta's own restore; a tag is a
commit that changes no row. Each carries what it did as JSON, under the key `tunesmith` of Delta's
commit information. Nothing stands beside the log, so what holds for Delta's commits holds for
versions: of two that commit at once one wins, and a commit is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from tunesmith.data.versions.delta_errors import as_our_errors
from tunesmith.errors import DataError
from tunesmith.messages import say
from tunesmith.store.entities.experiments import DatasetVersion

KEY = "tunesmith"
FORMAT = 1
"""Of the JSON under KEY; a larger number means that a newer Tunesmith wrote it."""

_FOR_EVER = "interval 36500 days"
_CONFIGURATION: dict[str, str | None] = {
    # History is the record of all versions: no clean-up may shorten it, no VACUUM take their rows.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": _FOR_EVER,
    "delta.deletedFileRetentionDuration": _FOR_EVER,
    # Least and greatest values serve queries; those of texts would only swell the log.
    "delta.dataSkippingNumIndexedCols": "0",
}
_RECORDED = [item.name for item in fields(DatasetVersion) if item.name != "tags"]


class Conflict(Exception):
    """Raised when the commit was refused: as a rule because another process was faster."""


Odd = Mapping[str, Mapping[str, Mapping[int, str]]]


@dataclass(frozen=True)
class Logged:
    """A version as its commit describes it."""

    version: DatasetVersion
    """Without tags, which later commits give."""
    columns: Mapping[str, Mapping[str, str]]
    """Split → column → its name in the stored table, in the columns' order."""
    commit: int
    """The Delta table's own version number."""
    token: str
    """What its maker drew at random: tells a commit of one's own from one of equal content."""
    odd: Odd
    """Split → column → number of a row with a value of another type than most → that type."""


@dataclass
class VersionLog:
    """A dataset's log as it was when it was read, and the commits that may follow it.

    Every method that commits raises Conflict, or StorageError when the commit can't be written.
    """

    name: str
    address: str
    """Folder or s3:// address of the dataset's Delta table."""
    options: dict[str, str]
    """Delta's storage options."""
    table: DeltaTable | None = None
    """None where there is no table."""
    versions: dict[int, Logged] = field(default_factory=dict)
    """Number → version, ascending."""
    tags: dict[str, int] = field(default_factory=dict)
    current: int = 0
    """The version that the dataset's bare name means; 0 where there is none."""
    is_touched: bool = False
    """Whether the last commit is not of Tunesmith: the table's rows may be no version's."""

    @property
    def what(self) -> str:
        """The dataset as messages call it."""
        return say("dataset {name} ({address})", name=self.name, address=self.address)

    @property
    def commit(self) -> int:
        """The Delta table's own version number; -1 where there is no table."""
        return -1 if self.table is None else self.table.version()

    def version(self, number: int) -> DatasetVersion:
        """The version `number` with its tags."""
        tags = sorted(tag for tag, tagged in self.tags.items() if tagged == number)
        return replace(self.versions[number].version, tags=tuple(tags))

    def with_hash(self, content: str) -> Logged | None:
        """The version with this content."""
        found = (one for one in self.versions.values() if one.version.hash == content)
        return next(found, None)

    def add(
        self,
        version: DatasetVersion,
        columns: Mapping[str, Mapping[str, str]],
        token: str,
        rows: pa.RecordBatchReader,
        odd: Odd,
    ) -> None:
        """Commit a version: its rows take the place of the table's present ones."""
        record = {name: getattr(version, name) for name in _RECORDED}
        record["created_at"] = version.created_at.isoformat()
        event = {"event": "version", "version": record, "columns": columns, "token": token}
        if odd:
            event["odd"] = odd
        exists = self.table is not None
        with self._committing():
            write_deltalake(
                self.address if self.table is None else self.table,
                rows,
                mode="overwrite" if exists else "error",
                schema_mode="overwrite" if exists else None,
                configuration=None if exists else _CONFIGURATION,
                storage_options=self.options,
                writer_properties=WriterProperties(compression="ZSTD"),
                commit_properties=_described(event),
                post_commithook_properties=_AFTER,
            )

    def restore(self, number: int) -> None:
        """Commit that the table's rows are those of version `number` again."""
        assert self.table is not None
        with self._committing():
            self.table.restore(
                self.versions[number].commit,
                commit_properties=_described({"event": "restore", "number": number}),
                post_commithook_properties=_AFTER,
            )

    def tag(self, tag: str, number: int | None) -> None:
        """Commit that `tag` names version `number` from now on, or (None) no version."""
        assert self.table is not None
        with self._committing():
            self.table.create_write_transaction(
                [],
                "append",
                self.table.schema(),
                commit_properties=_described({"event": "tag", "tag": tag, "number": number}),
                post_commithook_properties=_AFTER,
            )

    @contextmanager
    def _committing(self) -> Iterator[None]:
        with as_our_errors(self.what, "written"):
            try:
                yield
            except CommitFailedError as error:
                raise Conflict from error
            except DeltaError as error:
                if self.table is None and "already exists" in str(error):
                    raise Conflict from error
                raise

    def replay(self, event: Mapping[str, Any], commit: int) -> None:
        """Take in what one commit did. Raises KeyError, TypeError or ValueError for nonsense."""
        kind = event["event"]
        if kind == "version":
            record = {name: event["version"][name] for name in _RECORDED}
            record["created_at"] = datetime.fromisoformat(record["created_at"])
            record["columns"] = tuple(record["columns"])
            self.current = record["number"]
            version = DatasetVersion(**record)
            odd = {
                split: {
                    column: {int(row): str(kind) for row, kind in kinds.items()}
                    for column, kinds in columns.items()
                }
                for split, columns in event.get("odd", {}).items()
            }
            logged = Logged(version, event["columns"], commit, event["token"], odd)
            self.versions[self.current] = logged
        elif kind == "restore":
            self.current = int(event["number"])
        elif event["number"] is None:
            self.tags.pop(event["tag"], None)
        else:
            self.tags[event["tag"]] = int(event["number"])


def read_log(name: str, address: str, options: dict[str, str]) -> VersionLog:
    """The log of the dataset `name` as it is now; without a table where there is none.

    Raises DataError when it is damaged or written by a newer Tunesmith, StorageError when the
    storage can't be read.
    """
    log = VersionLog(name, address, options)
    with as_our_errors(log.what, "read"):
        try:
            log.table = DeltaTable(address, storage_options=options)
        except TableNotFoundError:
            return log
        history = log.table.history()
    for commit in sorted(history, key=lambda commit: int(commit["version"])):
        number = int(commit["version"])
        if number > log.commit:
            break
        log.is_touched = KEY not in commit
        if log.is_touched:
            continue
        try:
            event = json.loads(commit[KEY])
            if event["format"] > FORMAT:
                raise DataError(
                    "{what} was written by a newer Tunesmith; upgrade this one", what=log.what
                )
            log.replay(event, number)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "{what} is damaged: commit {n} is unreadable", what=log.what, n=number
            ) from error
    return log


_AFTER = PostCommitHookProperties(cleanup_expired_logs=False)


def _described(event: Mapping[str, Any]) -> CommitProperties:
    # No retries: delta-rs would put the commit behind another's, with a number both have taken.
    text = json.dumps({"format": FORMAT, **event}, default=str)
    return CommitProperties(custom_metadata={KEY: text}, max_commit_retries=0)
