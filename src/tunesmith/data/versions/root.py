"""Where dataset versions are kept: a folder or an S3 bucket, with one Delta table a dataset."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileType, PyFileSystem

from tunesmith.data.versions.delta_errors import as_our_errors
from tunesmith.data.versions.log import VersionLog, read_log
from tunesmith.errors import DataError
from tunesmith.messages import say

_S3 = re.compile(r"s3a?://[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9._=/-]*)?")
_S3_OPTIONS = {"max_retries": "4", "retry_timeout": "60s", "connect_timeout": "5s"}

_UNFIT = re.compile(r"[%#?\[\]\\^|\x00-\x1f]")
"""What delta-rs takes for something else in a folder's path."""


class VersionRoot:
    """The place of all datasets; reading from it makes nothing there.

    Raises DataError when nothing can be kept at `address`.
    """

    def __init__(self, address: str) -> None:
        self._folder: Path | None = None
        self._options: dict[str, str] = {}
        if "://" in address:
            if _S3.fullmatch(address) is None:
                # Not repeated in the message: it may hold a password.
                raise DataError(
                    "dataset versions can't be kept at this address; accepted: a folder, or "
                    "s3://bucket/prefix of plain letters, digits and . _ = -, with "
                    "credentials in AWS_… variables"
                )
            self._options = dict(_S3_OPTIONS)
            self.address = address.rstrip("/")
            return
        self._folder = Path(address).expanduser().absolute()
        self.address = str(self._folder)
        if unfit := _UNFIT.search(self.address):
            raise DataError(
                "dataset versions can't be kept in {folder}: Delta Lake can't use a "
                "folder with {what} in its path",
                folder=self.address,
                what=repr(unfit[0]),
            )

    def log(self, name: str) -> VersionLog:
        """The Delta log of the dataset `name`, which must be one that `check_name` lets pass.

        Raises DataError when it is damaged, StorageError when it can't be read.
        """
        return read_log(name, f"{self.address}/{name}", self._options)

    def names(self) -> list[str]:
        """The names of all Delta tables, sorted. Raises StorageError."""
        if self._folder is not None and not self._folder.is_dir():
            return []
        with as_our_errors(say("the datasets in {folder}", folder=self.address), "read"):
            handler = DeltaStorageHandler(self.address, self._options)
            found = PyFileSystem(handler).get_file_info(FileSelector(""))
            folders = [entry.base_name for entry in found if entry.type == FileType.Directory]
            is_table = DeltaTable.is_deltatable
            return sorted(n for n in folders if is_table(f"{self.address}/{n}", self._options))

    def scan(self, log: VersionLog, commit: int) -> pl.LazyFrame:
        """The stored rows of a dataset at the Delta table's own version number `commit`.

        Raises DataError when the table is damaged or a file of it is missing or cut short.
        """
        with as_our_errors(log.what, "read"):
            table = DeltaTable(log.address, commit, storage_options=self._options)
            added = pa.table(table.get_add_actions(flatten=True))
            files = table.file_uris()
        if self._folder is not None:
            # Not `file_uris`: it percent-encodes paths, and Polars takes them as they are.
            paths = [self._folder / log.name / unquote(path) for path in added["path"].to_pylist()]
            for path, size in zip(paths, added["size_bytes"].to_pylist(), strict=True):
                # Polars panics over a Parquet file that is cut short.
                if not path.is_file() or path.stat().st_size != size:
                    problem = say("is cut short") if path.is_file() else say("is missing")
                    raise DataError(
                        "{what} is damaged: its file {name} {problem}",
                        what=log.what,
                        name=path.name,
                        problem=problem,
                    )
            files = [str(path) for path in paths]
        return pl.scan_parquet(files, glob=False, hive_partitioning=False)
