"""Versions of datasets that were trained on, as the store keeps them."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import select

from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import dataset_versions
from tunesmith.store.entities.experiments import DatasetVersion

_FIELDS = tuple(field.name for field in fields(DatasetVersion) if field.name != "tags")


class Datasets(Part):
    """The record of dataset versions, a part of the store itself."""

    def record_dataset(self, version: DatasetVersion) -> None:
        """Record a version, in place of what has its name and number; its tags are left out.

        Doing it again changes nothing. Tags can change, and the data itself holds them.
        """
        row = {field: getattr(version, field) for field in _FIELDS}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(dataset_versions), row)

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
