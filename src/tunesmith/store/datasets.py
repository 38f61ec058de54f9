"""Versions of datasets that were trained on, and looks at their test sides."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import Connection, func, select

from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import dataset_versions, looks
from tunesmith.store.entities.experiments import DatasetVersion, Experiment

_FIELDS = tuple(field.name for field in fields(DatasetVersion) if field.name != "tags")


SWEEP_TAG = "sweep "
"""What the tag of a sweep's experiments begins with; its id follows."""


def note_look(connection: Connection, experiment: Experiment) -> None:
    """Note, in the transaction that ends it, that `experiment` was judged by its test side.

    The trials of a sweep that picks by other rows are one look: the rows of the test side have no
    part in which of them is looked at.
    """
    sweep = next((tag for tag in experiment.tags if tag.startswith(SWEEP_TAG)), None)
    by = sweep if sweep and "validation" in experiment.metrics else experiment.id
    if experiment.test_side is None:
        return
    row = {"evaluation_hash": experiment.test_side, "looked_by": by}
    known = select(looks.c.looked_by).filter_by(**row)
    if connection.execute(known).first() is None:
        connection.execute(looks.insert(), row)


class Datasets(Part):
    """The record of dataset versions, a part of the store itself."""

    def record_dataset(self, version: DatasetVersion) -> None:
        """Record a version, in place of what has its name and number; its tags are left out.

        Doing it again changes nothing. Tags can change, and the data itself holds them.
        """
        row = {field: getattr(version, field) for field in _FIELDS}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(dataset_versions), row)

    def looks(self, test_side: str | None) -> int:
        """How many have looked at the test side whose rows have this hash."""
        mine = looks.c.evaluation_hash == test_side
        return self._count(select(func.count()).select_from(looks).where(mine))

    def datasets(self, name: str | None = None) -> list[DatasetVersion]:
        """The recorded versions of all datasets, or of the one called `name`, without their tags.

        The newest come first; of those made at one time, by name, the highest number first.
        """
        table = dataset_versions
        query = select(table).order_by(
            table.c.created_at.desc(), table.c.name, table.c.number.desc()
        )
        if name is not None:
            query = query.where(table.c.name == name)
        rows = self._rows(query)
        return [DatasetVersion(**{**row, "columns": tuple(row["columns"])}) for row in rows]
