"""What people call an experiment, and the experiment they mean."""

from __future__ import annotations

import re

from sqlalchemy import Connection, select

from tunesmith.errors import NotFoundError, nearest, shorten
from tunesmith.messages import say
from tunesmith.names import LATEST, Version
from tunesmith.store.database.tables import experiments
from tunesmith.store.entities.experiments import ID_LENGTH
from tunesmith.store.entities.registry import AdapterVersion
from tunesmith.store.queries.registry import find_version, unknown_name

SHORTEST_PREFIX = 4

_PREFIX = re.compile(f"[0-9a-f]{{{SHORTEST_PREFIX},{ID_LENGTH - 1}}}")
_SHOWN = 10
_CANDIDATES = 1000
"""How many of the newest experiments are looked at for the nearest name."""

_NEWEST_FIRST = (experiments.c.created_at.desc(), experiments.c.id.desc())


def find_id(connection: Connection, reference: str) -> str:
    """The id of the experiment that `reference` means: an id, `latest`, a name, part of an id, or
    a version of a registered adapter such as `reviews@3`.

    Raises NotFoundError when there is none, or several whose ids begin so.
    """
    wanted = reference.strip()
    if Version.of(wanted).which is not None:
        version = find_version(connection, wanted)
        if version is None:
            raise unknown_name(connection, wanted)
        return _experiment_of(connection, version)
    newest = select(experiments.c.id).order_by(*_NEWEST_FIRST).limit(1)
    for query in (
        newest.where(experiments.c.id == wanted),
        newest if wanted == LATEST else newest.where(experiments.c.name == wanted),
    ):
        found: str | None = connection.scalar(query)
        if found is not None:
            return found
    if _PREFIX.fullmatch(wanted):
        return _by_prefix(connection, wanted)
    raise not_found(connection, reference)


def find_for_use(connection: Connection, reference: str) -> tuple[str, AdapterVersion | None]:
    """The same for who wants the adapter: there the name of a registered adapter alone means its
    version in production, and goes before an experiment's. Returns that version too.

    Raises NotFoundError.
    """
    wanted = reference.strip()
    exact = select(experiments.c.id).where(experiments.c.id == wanted)
    if wanted != LATEST and connection.scalar(exact) is None:
        version = find_version(connection, wanted)
        if version is not None:
            return _experiment_of(connection, version), version
    return find_id(connection, reference), None


def _experiment_of(connection: Connection, version: AdapterVersion) -> str:
    query = select(experiments.c.id).where(experiments.c.id == version.experiment_id)
    found: str | None = connection.scalar(query)
    if found is None:
        raise NotFoundError(
            "{version} ({status}) is gone: its experiment {id} was deleted.",
            version=version.reference,
            status=version.stage,
            id=version.experiment_id,
        )
    return found


def not_found(connection: Connection, reference: str) -> NotFoundError:
    """The error for a reference that means no experiment, naming the nearest id or name."""
    query = select(experiments.c.id, experiments.c.name).order_by(*_NEWEST_FIRST)
    rows = connection.execute(query.limit(_CANDIDATES)).all()
    if not rows:
        return NotFoundError(
            "There is no experiment {id}: none is recorded yet.", id=shorten(reference)
        )
    # In the order of the rows, so that of equally near ones the newest is named.
    known = dict.fromkeys([row.id for row in rows] + [row.name for row in rows])
    near = nearest(reference.strip(), known)
    hint = (
        say("did you mean {near}?", near=near)
        if near
        else say("the newest is {id} ({name}).", id=rows[0].id, name=rows[0].name)
    )
    return NotFoundError("There is no experiment {id}; {hint}", id=shorten(reference), hint=hint)


def _by_prefix(connection: Connection, prefix: str) -> str:
    query = select(experiments.c.id, experiments.c.name).where(experiments.c.id.startswith(prefix))
    rows = connection.execute(query.order_by(*_NEWEST_FIRST).limit(_SHOWN + 1)).all()
    if not rows:
        raise not_found(connection, prefix)
    if len(rows) > 1:
        matches = ", ".join(f"{row.id} ({row.name})" for row in rows[:_SHOWN])
        more = say(" and more") if len(rows) > _SHOWN else ""
        raise NotFoundError(
            "Several experiments begin with {prefix}: {matches}{more}.",
            prefix=repr(prefix),
            matches=matches,
            more=more,
        )
    return str(rows[0].id)
