"""The tags of experiments, as the store keeps, compares and finds them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from tunesmith.tracking.containing import contains
from tunesmith.tracking.tables import experiment_tags, experiments

_ASKED_FOR = 1000
"""Most experiments that are named in one query; for more of them all tags are read."""


def folded(tag: str) -> str:
    """`tag` as it is compared: without the space around it, its case, and ways to write accents."""
    return unicodedata.normalize("NFC", tag.strip().casefold())


def write_tags(connection: Connection, experiment_id: str, tags: Iterable[str]) -> None:
    """Give an experiment these tags in place of those that it has; of equal ones, the first."""
    columns = experiment_tags.c
    connection.execute(delete(experiment_tags).where(columns.experiment_id == experiment_id))
    rows: dict[str, dict[str, str]] = {}
    for tag in tags:
        key = folded(tag)
        rows.setdefault(key, {"experiment_id": experiment_id, "folded": key, "tag": tag})
    if rows:
        connection.execute(insert(experiment_tags), list(rows.values()))


def read_tags(connection: Connection, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Id → tags, in the order in which they are compared; experiments without any are left out."""
    columns = experiment_tags.c
    query = select(columns.experiment_id, columns.folded, columns.tag)
    if len(ids) <= _ASKED_FOR:
        query = query.where(columns.experiment_id.in_(list(ids)))
    found: dict[str, list[tuple[str, str]]] = {}
    for row in connection.execute(query) if ids else ():
        found.setdefault(row.experiment_id, []).append((row.folded, row.tag))
    return {id_: tuple(tag for _, tag in sorted(pairs)) for id_, pairs in found.items()}


def count_tags(connection: Connection, limit: int) -> dict[str, int]:
    """Tag → experiments that have it, the commonest `limit` of all, these first."""
    columns = experiment_tags.c
    total = func.count().label("total")
    query = select(func.min(columns.tag).label("tag"), total).group_by(columns.folded)
    query = query.order_by(total.desc(), columns.folded).limit(limit)
    return {row.tag: row.total for row in connection.execute(query)}


def has_tag(tag: str) -> ColumnElement[bool]:
    """Whether an experiment has this tag, in capitals or not."""
    columns = experiment_tags.c
    query = select(columns.experiment_id).where(columns.folded == folded(tag))
    return experiments.c.id.in_(query)


def has_tag_with(part: str) -> ColumnElement[bool]:
    """Whether `part` stands in one of an experiment's tags, in capitals or not."""
    columns = experiment_tags.c
    query = select(columns.experiment_id).where(contains(columns.folded, folded(part)))
    return experiments.c.id.in_(query)
