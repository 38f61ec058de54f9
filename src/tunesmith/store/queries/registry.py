"""What the registry asks of the database, as SQL; and what people call a version."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, func, or_, select

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.messages import say
from tunesmith.names import LATEST, Version
from tunesmith.schemas.enums import Stage
from tunesmith.store.database.tables import adapter_versions, adapters, experiments
from tunesmith.store.entities.experiments import words_of
from tunesmith.store.entities.registry import AdapterFilters, AdapterVersion
from tunesmith.store.queries.containing import contains
from tunesmith.store.queries.tags import ADAPTER_TAGS

_A, _V = adapters.c, adapter_versions.c
_SEARCHED = (_V.model_name, _V.task, _V.dataset, _V.experiment_id, _V.comment)
"""Columns of a version in which a word of a search may stand."""


def conditions(filters: AdapterFilters) -> list[ColumnElement[bool]]:
    """What a registered adapter must be like."""
    found: list[ColumnElement[bool]] = [
        _A.name.in_(ADAPTER_TAGS.having(tag)) for tag in filters.tags
    ]
    for word in words_of(filters.text):
        versions = select(_V.name).where(or_(*(contains(each, word) for each in _SEARCHED)))
        own = (contains(each, word) for each in (_A.name, _A.description, _A.language))
        found.append(or_(*own, _A.name.in_(ADAPTER_TAGS.having_part(word)), _A.name.in_(versions)))
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
        raise NotFoundError(
            "There is no version {name}@{number}; {there_is}",
            name=name,
            number=number,
            there_is=_there_is(name, known),
        )
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
            "Experiment {id} is kept: {versions} rests on it. Archive or remove that "
            "first: tunesmith adapters archive {version}",
            id=experiment_id,
            versions=names,
            version=resting[0].reference,
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
    asked = Version.of(reference.strip())
    name, wanted = asked.name, Stage.PRODUCTION if asked.which is None else asked.which
    known = connection.scalar(select(_A.name).where(_A.name == name))
    if known is None:
        return None
    versions = read_versions(connection, [name])[name]
    for version in versions:
        stands = version.stage is not Stage.ARCHIVED if wanted == LATEST else False
        if wanted in (str(version.number), version.stage) or stands:
            return version
    raise _no_version(name, wanted, versions)


def _no_version(name: str, which: str, versions: Collection[AdapterVersion]) -> NotFoundError:
    """The error for a version that a name doesn't have, or never could."""
    there = _there_is(name, versions)
    if which == LATEST:
        return NotFoundError(
            "There is no version of {name} that isn't archived; {rest}", name=name, rest=there
        )
    if which in tuple(Stage):
        return NotFoundError(
            "There is no version of {name} in {status}; {rest}", name=name, status=which, rest=there
        )
    if which.isdigit():
        return NotFoundError(
            "There is no version {name}@{which}; {there}", name=name, which=which, there=there
        )
    accepted = ", ".join(("a number", *Stage, LATEST))
    near = nearest(which, (*Stage, LATEST))
    hint = say("; did you mean {name}@{near}?", name=name, near=near) if near else ""
    return NotFoundError(
        "There is no version {value}; after @ stands one of {accepted}{hint}",
        value=shorten(f"{name}@{which}"),
        accepted=accepted,
        hint=hint,
    )


def unknown_name(connection: Connection, reference: str) -> NotFoundError:
    """The error for a reference with @ whose name nobody registered."""
    name = Version.of(reference.strip()).name
    near = nearest(name, [str(each) for each in connection.scalars(select(_A.name))])
    hint = (
        say("did you mean {near}?", near=near)
        if near
        else say("`tunesmith adapters list` shows what there is.")
    )
    return NotFoundError(
        "There is no registered adapter {name}; {hint}", name=shorten(name), hint=hint
    )


def _there_is(name: str, versions: Collection[AdapterVersion]) -> str:
    if not versions:
        return say("{name} has none.", name=name)
    shown = ", ".join(f"{each.reference} ({each.stage})" for each in list(versions)[:5])
    more = say(" and {n:,} older ones", n=len(versions) - 5) if len(versions) > 5 else ""
    return say("there is {shown}{more}.", shown=shown, more=more)
