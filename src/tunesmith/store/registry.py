"""The registry: names, under which versions of adapters are kept, each in its stage.

A name has at most one version in production. Who promotes another says which one stood there when
the promotion rule was applied: of two who promote at once, one gets a StateError. A version
that isn't archived keeps its experiment from being deleted.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import StateError
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus, Stage
from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import adapter_stages, adapter_versions, adapters, experiments
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.entities.registry import (
    AdapterFilters,
    AdapterVersion,
    PromotionRule,
    RegisteredAdapter,
    StageChange,
)
from tunesmith.store.queries.references import find_for_use
from tunesmith.store.queries.registry import (
    conditions,
    find_version,
    read_versions,
    require_free,
    unknown_name,
    version_of,
)
from tunesmith.store.queries.rows import get_experiment
from tunesmith.store.queries.tags import ADAPTER_TAGS

_V = adapter_versions.c


class Registry(Part):
    """Registered adapters; reached as `store.registry`."""

    # -- names ------------------------------------------------------------------------------

    def create(self, adapter: RegisteredAdapter, first: AdapterVersion | None = None) -> None:
        """Record a new name, and its `first` version. Raises StateError if it is taken."""
        row = {name: value for name, value in asdict(adapter).items() if name != "tags"}
        try:
            with self._database.writing() as connection:
                connection.execute(adapters.insert(), row)
                ADAPTER_TAGS.write(connection, adapter.name, adapter.tags)
                if first is not None:
                    _add(connection, first)
        except IntegrityError as error:
            raise StateError(
                "There is an adapter called {name} already.", name=adapter.name
            ) from error

    def get(self, name: str) -> RegisteredAdapter:
        """The adapter of this name. Raises NotFoundError naming the nearest."""
        with self._database.reading() as connection:
            return _get(connection, name)

    def knows(self, name: str) -> bool:
        """Whether an adapter is registered under this name."""
        return bool(self._rows(select(adapters.c.name).where(adapters.c.name == name)))

    def list(self, filters: AdapterFilters | None = None) -> builtins.list[RegisteredAdapter]:
        """The registered adapters that pass `filters`, by name."""
        filters = filters or AdapterFilters()
        query = select(adapters).where(*conditions(filters)).order_by(adapters.c.name)
        if filters.limit is not None or filters.offset:
            query = query.limit(2**62 if filters.limit is None else filters.limit)
            query = query.offset(filters.offset)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            tags = ADAPTER_TAGS.read(connection, [row["name"] for row in rows])
            return [_adapter(row, tags) for row in rows]

    def count(self, filters: AdapterFilters) -> int:
        """How many pass `filters`, whatever their limit and offset."""
        return self._count(select(func.count()).select_from(adapters).where(*conditions(filters)))

    def edit(
        self,
        name: str,
        *,
        description: str | None = None,
        language: str | None = None,
        tags: Collection[str] | None = None,
        demands: PromotionRule | None = None,
    ) -> RegisteredAdapter:
        """Change a name; None stays, an empty text goes. Returns it then. Raises NotFoundError."""
        values: dict[str, Any] = {}
        if description is not None:
            values["description"] = description
        if language is not None:
            values["language"] = language or None
        if demands is not None:
            values["demands"] = demands.as_stored()
        with self._database.writing() as connection:
            _hold(connection, name)
            if values:
                connection.execute(update(adapters).where(adapters.c.name == name).values(values))
            if tags is not None:
                ADAPTER_TAGS.write(connection, name, tags)
            return _get(connection, name)

    def remove(self, name: str) -> None:
        """Remove a name with its versions. Raises StateError while one is in production."""
        with self._database.writing() as connection:
            _hold(connection, name)
            for version in read_versions(connection, [name])[name]:
                _require_removable(version)
            connection.execute(delete(adapters).where(adapters.c.name == name))

    # -- versions ---------------------------------------------------------------------------

    def versions(self, *names: str) -> dict[str, builtins.list[AdapterVersion]]:
        """Name → its versions, the newest first; an empty list for a name without any."""
        with self._database.reading() as connection:
            return read_versions(connection, names)

    def version(self, name: str, number: int) -> AdapterVersion:
        """One version. Raises NotFoundError saying which there are."""
        with self._database.reading() as connection:
            return version_of(connection, name, number)

    def find(self, reference: str) -> AdapterVersion:
        """The version that a person means: `NAME@3`, `NAME@staging`, `NAME@latest`, or `NAME` for
        the one in production. Raises NotFoundError naming what there is.
        """
        with self._database.reading() as connection:
            version = find_version(connection, reference)
            if version is None:
                raise unknown_name(connection, reference)
            return version

    def find_for_use(self, reference: str) -> tuple[Experiment, AdapterVersion | None]:
        """The experiment whose adapter a person means, with the version where that was named.

        What names an experiment for the store does so here too; but the name of a registered
        adapter alone means its version in production, and goes before the names of experiments.
        Raises NotFoundError.
        """
        with self._database.reading() as connection:
            experiment_id, version = find_for_use(connection, reference)
            return get_experiment(connection, experiment_id), version

    def require_free(self, experiment_id: str) -> None:
        """Raises StateError when a version that isn't archived rests on the experiment."""
        with self._database.reading() as connection:
            require_free(connection, experiment_id)

    def add(self, version: AdapterVersion) -> AdapterVersion:
        """Record the next version of a name, whatever its number says; returns it as it is then.

        Raises StateError when its experiment hasn't succeeded or is a version of this name already,
        NotFoundError when there is no such name or experiment.
        """
        with self._database.writing() as connection:
            return _add(connection, version)

    def change_stage(
        self,
        name: str,
        number: int,
        to: Stage,
        *,
        expected: Stage,
        in_production: int | None,
        demands: PromotionRule,
        actor: str = "",
        comment: str = "",
        forced: bool = False,
        unmet: tuple[str, ...] = (),
    ) -> tuple[AdapterVersion, AdapterVersion | None]:
        """Give a version another stage; what was in production is archived when it goes there.

        `expected`, `in_production` (the number of the version that stands there, None for none) and
        `demands` are what this was decided by. Returns the version as it is then, and the one whose
        place it took. Raises StateError when any of that is otherwise meanwhile, NotFoundError when
        there is no such version, or its experiment was deleted.
        """
        with self._database.writing() as connection:
            _hold(connection, name)
            version = version_of(connection, name, number)
            query = select(_V.number).where(_V.name == name, _V.stage == Stage.PRODUCTION)
            standing = connection.scalar(query)
            _require_unchanged(
                version, expected, standing, in_production, _get(connection, name).demands, demands
            )
            if to is not Stage.ARCHIVED:
                _hold_experiment(connection, version.experiment_id)
            replaced = None
            said = StageChange(name=name, number=number, stage=to, actor=actor, comment=comment)
            if to is Stage.PRODUCTION and standing is not None and standing != number:
                change = replace(
                    said, number=standing, stage=Stage.ARCHIVED,
                    comment=say("{version} took its place.", version=version.reference),
                )  # fmt: skip
                replaced = _move(connection, version_of(connection, name, standing), change)
            return _move(connection, version, replace(said, forced=forced, unmet=unmet)), replaced

    def history(self, name: str) -> builtins.list[StageChange]:
        """Every step of every version of a name, the newest first."""
        columns = adapter_stages.c
        query = select(adapter_stages).where(columns.name == name)
        query = query.order_by(columns.at.desc(), columns.number.desc(), columns.step.desc())
        rows = self._rows(query)
        return [StageChange(**{**row, "unmet": tuple(row["unmet"])}) for row in rows]

    def remove_version(self, name: str, number: int) -> None:
        """Remove a version; its number isn't given again. Raises StateError, NotFoundError."""
        with self._database.writing() as connection:
            _hold(connection, name)
            _require_removable(version_of(connection, name, number))
            connection.execute(delete(adapter_versions).where(_V.name == name, _V.number == number))


def _get(connection: Connection, name: str) -> RegisteredAdapter:
    row = connection.execute(select(adapters).where(adapters.c.name == name)).mappings().first()
    if row is None:
        raise unknown_name(connection, name)
    return _adapter(row, ADAPTER_TAGS.read(connection, [name]))


def _adapter(row: Mapping[Any, Any], tags: Mapping[str, tuple[str, ...]]) -> RegisteredAdapter:
    demands = PromotionRule.read(row["demands"])
    return RegisteredAdapter(**{**row, "demands": demands}, tags=tags.get(row["name"], ()))


def _hold(connection: Connection, name: str) -> None:
    """Let nobody else change this name or its versions until the transaction ends."""
    query = select(adapters.c.name).where(adapters.c.name == name).with_for_update()
    if connection.scalar(query) is None:
        raise unknown_name(connection, name)


def _hold_experiment(connection: Connection, experiment_id: str) -> Experiment:
    """Let nobody delete the experiment until the transaction ends. Raises NotFoundError."""
    query = select(experiments.c.id).where(experiments.c.id == experiment_id)
    connection.scalar(query.with_for_update(read=True))
    return get_experiment(connection, experiment_id)


def _add(connection: Connection, version: AdapterVersion) -> AdapterVersion:
    name = version.name
    _hold(connection, name)
    experiment = _hold_experiment(connection, version.experiment_id)
    if experiment.status is not ExperimentStatus.SUCCEEDED:
        raise StateError(
            "experiment {id} is {status}; only the adapter of one that has succeeded "
            "can be registered.",
            id=experiment.id,
            status=experiment.status,
        )
    query = select(_V.number).where(_V.name == name, _V.experiment_id == experiment.id)
    known = connection.scalar(query)
    if known is not None:
        raise StateError(
            "experiment {id} is {name}@{known} already.", id=experiment.id, name=name, known=known
        )
    number = _get(connection, name).given + 1
    connection.execute(update(adapters).where(adapters.c.name == name).values(given=number))
    added = replace(version, number=number)
    connection.execute(adapter_versions.insert(), asdict(added))
    first = StageChange(
        name=name, number=number, at=added.created_at, actor=added.created_by, stage=added.stage,
        comment=added.comment,
    )  # fmt: skip
    connection.execute(adapter_stages.insert(), asdict(first))
    return added


def _require_unchanged(
    version: AdapterVersion,
    expected: Stage,
    standing: int | None,
    in_production: int | None,
    applied: PromotionRule,
    demands: PromotionRule,
) -> None:
    """Raises StateError when what a change was decided by isn't so any more."""
    if version.stage is not expected:
        why = say("it is {status} now, and was {what}", status=version.stage, what=expected)
    elif standing != in_production:
        why = (
            say("no version of {name} is in production any more", name=version.name)
            if standing is None
            else say(
                "{name}@{standing} has gone into production", name=version.name, standing=standing
            )
        )
    elif applied != demands:
        why = say("the promotion rule of {name} was changed", name=version.name)
    else:
        return
    raise StateError(
        "{version} stays as it is: meanwhile {why}. Look again, then ask.",
        version=version.reference,
        why=why,
    )


def _require_removable(version: AdapterVersion) -> None:
    if version.stage is Stage.PRODUCTION:
        raise StateError(
            "{version} is in production; archive it before removing it.", version=version.reference
        )


def _move(connection: Connection, version: AdapterVersion, change: StageChange) -> AdapterVersion:
    """Give a version its new stage, and write down that it was given."""
    mine = (_V.name == version.name, _V.number == version.number)
    connection.execute(update(adapter_versions).where(*mine).values(stage=change.stage))
    steps = adapter_stages.c
    last = select(func.max(steps.step)).where(
        steps.name == version.name, steps.number == version.number
    )
    step = (connection.scalar(last) or 0) + 1
    row = asdict(replace(change, step=step, was=version.stage, at=utc_now()))
    connection.execute(adapter_stages.insert(), row)
    return replace(version, stage=change.stage)
