"""The rows of a version by which they are compared: places, and hashes of their values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from tunesmith.data.content import canonical_strings
from tunesmith.data.reading.rows import ROW

SCHEMA = {"split": pl.Int16, "place": pl.Int64, "row": pl.Int64, "key": pl.UInt64}

_ORDER = "\0order"


class Side:
    """One of two versions that are compared: its rows as places and hashes, values on demand.

    `tables` are split → rows; `splits` are the names of both versions' splits, and `columns` the
    columns that both have.
    """

    def __init__(
        self, tables: Mapping[str, pa.Table], splits: list[str], columns: list[str]
    ) -> None:
        self.tables = tables
        self._numbered = {
            number: tables[name] for number, name in enumerate(splits) if name in tables
        }
        self._splits = splits
        self.columns = columns
        frames = [self._keys(number, table) for number, table in self._numbered.items()]
        self.rows = pl.concat([pl.DataFrame(schema=SCHEMA), *frames])
        """`split` (number), `place` (in the split, from 0), `row` (`_row`), `key` (hash)."""

    def _keys(self, number: int, table: pa.Table) -> pl.DataFrame:
        places = np.arange(table.num_rows, dtype=np.int64)
        return pl.DataFrame(
            {
                "split": np.full(table.num_rows, number, dtype=np.int16),
                "place": places,
                "row": table.column(ROW).to_numpy() if ROW in table.column_names else places + 1,
                "key": hashes(_strings(table, self.columns)) if self.columns else places,
            },
            schema=SCHEMA,
        )

    def values(self, rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
        """The canonical strings of `columns` in these rows, in their order."""
        numbered = rows.select("split", "place").with_row_index(_ORDER)
        parts = [pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), _ORDER: pl.UInt32})]
        for number, table in self._numbered.items():
            own = numbered.filter(pl.col("split") == number)
            # Only what is shown or compared: a large chat column is slow to take rows of.
            known = table.select([name for name in columns if name in table.column_names])
            taken = _strings(known.take(pa.array(own["place"].to_numpy())), columns)
            parts.append(taken.with_columns(own[_ORDER]))
        return pl.concat(parts).sort(_ORDER).drop(_ORDER)

    def split_name(self, number: int) -> str:
        """The name of the split that `rows` number so."""
        return self._splits[number]


def own_columns(tables: Mapping[str, pa.Table]) -> list[str]:
    """The columns of all splits in the order of their first appearance, but ours (`_…`)."""
    names = dict.fromkeys(name for table in tables.values() for name in table.column_names)
    return [name for name in names if not name.startswith("_")]


def hashes(values: pl.DataFrame) -> pl.Series:
    """A 64-bit hash of each row, for this process only.

    Among 2,000,000 different rows some two have the same one with a probability of about 1e-7.
    """
    return values.hash_rows(seed=1)


def _strings(table: pa.Table, columns: list[str]) -> pl.DataFrame:
    """The canonical strings of `columns`; a column that isn't there is empty throughout."""
    empty = pa.chunked_array([pa.repeat(pa.scalar("", pa.large_string()), table.num_rows)])
    values = {
        name: canonical_strings(table.column(name)) if name in table.column_names else empty
        for name in columns
    }
    return pl.DataFrame(pa.table(values))
