"""Tags of experiments and of registered adapters: how they are kept, compared and found."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, delete, func, insert, select

from tunesmith.store.database.tables import adapter_tags, experiment_tags
from tunesmith.store.queries.containing import contains

_ASKED_FOR = 1000
"""Most owners that are named in one query; for more of them all tags are read."""


def folded(tag: str) -> str:
    """`tag` as it is compared: without the space around it, its case, and ways to write accents."""
    return unicodedata.normalize("NFC", tag.strip().casefold())


class Tags:
    """A table of tags, each of which belongs to an owner: `owner`, `folded`, `tag`."""

    def __init__(self, table: Table, owner: Column[str]) -> None:
        self._table = table
        self._owner = owner

    def write(self, connection: Connection, owner: str, tags: Iterable[str]) -> None:
        """Give `owner` these tags in place of those that it has; of equal ones, the first."""
        connection.execute(delete(self._table).where(self._owner == owner))
        rows: dict[str, dict[str, str]] = {}
        for tag in tags:
            key = folded(tag)
            rows.setdefault(key, {self._owner.name: owner, "folded": key, "tag": tag})
        if rows:
            connection.execute(insert(self._table), list(rows.values()))

    def read(self, connection: Connection, owners: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Owner → tags, in the order in which they are compared; none for an owner without any."""
        query = select(self._owner, self._table.c.folded, self._table.c.tag)
        if len(owners) <= _ASKED_FOR:
            query = query.where(self._owner.in_(list(owners)))
        found: dict[str, list[tuple[str, str]]] = {}
        for owner, key, tag in connection.execute(query) if owners else ():
            found.setdefault(owner, []).append((key, tag))
        return {owner: tuple(tag for _, tag in sorted(pairs)) for owner, pairs in found.items()}

    def count(self, connection: Connection, limit: int) -> dict[str, int]:
        """Tag → owners that have it, the commonest `limit` of all, these first."""
        columns = self._table.c
        total = func.count().label("total")
        query = select(func.min(columns.tag).label("tag"), total).group_by(columns.folded)
        query = query.order_by(total.desc(), columns.folded).limit(limit)
        return {row.tag: row.total for row in connection.execute(query)}

    def having(self, tag: str) -> Select[Any]:
        """The owners of this tag, in capitals or not."""
        return select(self._owner).where(self._table.c.folded == folded(tag))

    def having_part(self, part: str) -> Select[Any]:
        """The owners of a tag in which `part` stands, in capitals or not."""
        return select(self._owner).where(contains(self._table.c.folded, folded(part)))


EXPERIMENT_TAGS = Tags(experiment_tags, experiment_tags.c.experiment_id)
ADAPTER_TAGS = Tags(adapter_tags, adapter_tags.c.name)
