"""What the registry asks of the database, as SQL; and what people call a version."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.tracking.containing import contains
from tunesmith.tracking.entities import words_of
from tunesmith.tracking.registry_entities import AdapterFilters, AdapterVersion, Stage
from tunesmith.tracking.tables import adapter_tags, adapter_versions, adapters, experiments
from tunesmith.tracking.tags import folded

NEWEST = "latest"
"""After @: the newest version that isn't archived."""

_A, _T, _V = adapters.c, adapter_tags.c, adapter_versions.c
_SEARCHED = (_V.model_name, _V.task, _V.dataset, _V.experiment_id, _V.comment)
"""Columns of a version in which a word of a search may stand."""


def conditions(filters: AdapterFilters) -> list[ColumnElement[bool]]:
    """What a registered adapter must be like."""
    found: list[ColumnElement[bool]] = [
        _A.name.in_(select(_T.name).where(_T.folded == folded(tag))) for tag in filters.tags
    ]
    for word in words_of(filters.text):
        tagged = select(_T.name).where(contains(_T.folded, folded(word)))
        versions = select(_V.name).where(or_(*(contains(each, word) for each in _SEARCHED)))
        own = (contains(each, word) for each in (_A.name, _A.description, _A.language))
        found.append(or_(*own, _A.name.in_(tagged), _A.name.in_(versions)))
    if filters.language:
        language = filters.language.lower()
        mine = func.lower(_A.language)
        found.append(or_(mine == language, mine.startswith(f"{language}-", autoescape=True)))
    of_version: list[ColumnElement[bool]] = []
    if filters.model:
        of_version.append(contains(_V.model_name, filters.model))
    if filters.task:
        of_version.append(_V.task == filters.task)
    if filters.stage is not None:
        of_version.append(_V.stage == filters.stage)
    if of_version:
        found.append(_A.name.in_(select(_V.name).where(*of_version)))
    return found


def write_tags(connection: Connection, name: str, tags: Iterable[str]) -> None:
    """Give a name these tags in place of those that it has; of equal ones, the first."""
    connection.execute(delete(adapter_tags).where(_T.name == name))
    rows: dict[str, dict[str, str]] = {}
    for tag in tags:
        rows.setdefault(folded(tag), {"name": name, "folded": folded(tag), "tag": tag})
    if rows:
        connection.execute(insert(adapter_tags), list(rows.values()))


def read_tags(connection: Connection, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Name → tags, in the order in which they are compared."""
    found: dict[str, list[str]] = {}
    query = select(adapter_tags).where(_T.name.in_(list(names))).order_by(_T.folded)
    for row in connection.execute(query).mappings():
        found.setdefault(row["name"], []).append(row["tag"])
    return {name: tuple(tags) for name, tags in found.items()}


def read_versions(
    connection: Connection, names: Collection[str]
) -> dict[str, list[AdapterVersion]]:
    """Name → its versions, the newest first."""
    found: dict[str, list[AdapterVersion]] = {name: [] for name in names}
    query = select(adapter_versions).where(_V.name.in_(list(names)))
    for row in connection.execute(query.order_by(_V.name, _V.number.desc())).mappings():
        found[row["name"]].append(AdapterVersion(**row))
    return found


def version_of(connection: Connection, name: str, number: int) -> AdapterVersion:
    """One version. Raises NotFoundError saying which there are."""
    query = select(adapter_versions).where(_V.name == name, _V.number == number)
    row = connection.execute(query).mappings().first()
    if row is None:
        known = read_versions(connection, [name])[name]
        raise NotFoundError(f"There is no version {name}@{number}; {_there_is(name, known)}")
    return AdapterVersion(**row)


def resting_on(connection: Connection, experiment_id: str) -> list[AdapterVersion]:
    """The versions, not archived, that are this experiment's adapter."""
    query = select(adapter_versions).where(
        _V.experiment_id == experiment_id, _V.stage != Stage.ARCHIVED
    )
    rows = connection.execute(query.order_by(_V.name, _V.number)).mappings()
    return [AdapterVersion(**row) for row in rows]


def require_free(connection: Connection, experiment_id: str) -> None:
    """Raises StateError when a version rests on the experiment, naming each."""
    resting = resting_on(connection, experiment_id)
    if resting:
        names = ", ".join(f"{each.reference} ({each.stage})" for each in resting)
        raise StateError(
            f"Experiment {experiment_id} is kept: {names} rests on it. Archive or remove that "
            f"first: tunesmith adapters archive {resting[0].reference}"
        )


def hold_free(connection: Connection, experiment_id: str) -> None:
    """The same, and nobody registers the experiment until the transaction ends."""
    mine = select(experiments.c.id).where(experiments.c.id == experiment_id)
    connection.scalar(mine.with_for_update())
    require_free(connection, experiment_id)


def find_version(connection: Connection, reference: str) -> AdapterVersion | None:
    """The version that `reference` means: `NAME@3`, `NAME@production`, `NAME@latest`, or `NAME`
    for the one in production; None when no adapter has that name.

    Raises NotFoundError when the name has no such version.
    """
    name, at, which = reference.strip().partition("@")
    known = connection.scalar(select(_A.name).where(_A.name == name))
    if known is None:
        return None
    versions = read_versions(connection, [name])[name]
    wanted = which if at else Stage.PRODUCTION
    for version in versions:
        stands = version.stage is not Stage.ARCHIVED if wanted == NEWEST else False
        if wanted in (str(version.number), version.stage) or stands:
            return version
    raise _no_version(name, which if at else Stage.PRODUCTION, versions)


def _no_version(name: str, which: str, versions: Collection[AdapterVersion]) -> NotFoundError:
    """The error for a version that a name doesn't have, or never could."""
    there = _there_is(name, versions)
    if which == NEWEST:
        return NotFoundError(f"There is no version of {name} that isn't archived; {there}")
    if which in tuple(Stage):
        return NotFoundError(f"There is no version of {name} in {which}; {there}")
    if which.isdigit():
        return NotFoundError(f"There is no version {name}@{which}; {there}")
    accepted = ", ".join(("a number", *Stage, NEWEST))
    near = nearest(which, (*Stage, NEWEST))
    hint = f"; did you mean {name}@{near}?" if near else ""
    return NotFoundError(
        f"There is no version {shorten(f'{name}@{which}')}; after @ stands one of {accepted}{hint}"
    )


def unknown_name(connection: Connection, reference: str) -> NotFoundError:
    """The error for a reference with @ whose name nobody registered."""
    name = reference.strip().partition("@")[0]
    near = nearest(name, [str(each) for each in connection.scalars(select(_A.name))])
    hint = f"did you mean {near}?" if near else "`tunesmith adapters list` shows what there is."
    return NotFoundError(f"There is no registered adapter {shorten(name)}; {hint}")


def _there_is(name: str, versions: Collection[AdapterVersion]) -> str:
    if not versions:
        return f"{name} has none."
    shown = ", ".join(f"{each.reference} ({each.stage})" for each in list(versions)[:5])
    more = f" and {len(versions) - 5:,} older ones" if len(versions) > 5 else ""
    return f"there is {shown}{more}."
