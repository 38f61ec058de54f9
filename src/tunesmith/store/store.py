"""The store: the SQL record of experiments, their metrics and the data they were trained on.

Rules, stated first:

- The store is the truth. Each method is one transaction, done whole or not at all (but for many
  points of metrics, which come in parts), and safe to call from many threads and processes.
- A status changes through `change_status` and the queue alone: one atomic update that names the
  statuses it expects, so that of two who try, one wins and the other gets a StateError.
- What a process that trains writes names its lease, and is not written when that is lost.
- Records go in and come out whole and immutable; nothing here knows files or training.
- What goes wrong with the database is a StorageError in one paragraph; what was not found is a
  NotFoundError; every method may raise the former.
"""

from __future__ import annotations

from typing import Self

from tunesmith.store.access import Access
from tunesmith.store.database.connection import Database
from tunesmith.store.datasets import Datasets
from tunesmith.store.deliveries import Deliveries
from tunesmith.store.experiments import Experiments
from tunesmith.store.metric_points import Points
from tunesmith.store.queue import ExperimentQueue
from tunesmith.store.registry import Registry
from tunesmith.store.sweeps import Sweeps


class Store(Experiments, Points, Datasets):
    """The record of all experiments, in the database that an SQLAlchemy URL names.

    SQLite (`sqlite:///path/to/file.db`, made with its folder when missing) or PostgreSQL
    (`postgresql://user:password@host/database`). Opening it brings the schema to this version's.
    Open one per process; connections must not cross a fork.

    Raises UserError for a URL that can't serve, StorageError when the database can't be used or
    was written by a newer Tunesmith.
    """

    def __init__(self, url: str) -> None:
        super().__init__(Database(url))
        self.queue = ExperimentQueue(self._database)
        """The queue: experiments that wait or run, and the workers that take them."""
        self.sweeps = Sweeps(self._database)
        """Sweeps and their trials."""
        self.registry = Registry(self._database)
        """Registered adapters, their versions and stages."""
        self.deliveries = Deliveries(self._database)
        """Ends of experiments that are still to be announced."""
        self.access = Access(self._database)
        """Access tokens and the audit trail."""

    @property
    def name(self) -> str:
        """The store's URL without its password."""
        return self._database.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()
