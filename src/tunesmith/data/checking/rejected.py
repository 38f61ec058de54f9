"""The rows that a check left out, as they were, with the reason: to mend and to send back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa

from tunesmith.data.checking.report import CheckReport
from tunesmith.data.content import canonical_strings
from tunesmith.data.reading.rows import ROW

LEFT_OUT = ("drop", "fail")
UNREADABLE = "_unreadable"


def rejected_rows(tables: Mapping[str, pa.Table], report: CheckReport) -> pa.Table:
    """The rows of `tables` (split → rows) that rules dropped or refused, one line each.

    To the columns of the source come `_split`, `_row`, `_rule` and `_reason` (several with "; "),
    and `_unreadable` with the text of lines that are no row, whose `_row` is the line. They don't
    count when the mended rows are read again: columns with a leading `_` are ours. A column that
    has no one type in all splits is text.
    """
    findings = report.table.filter(pl.col("action").is_in(LEFT_OUT), pl.col("row").is_not_null())
    # Lines that are no row are numbered by line: they may have the number of another row.
    is_lost = (pl.col("rule") == "unreadable_rows").alias("is_lost")
    where = pl.when(pl.col("column") == "").then(pl.lit("")).otherwise(pl.col("column") + ": ")
    reasons = findings.group_by("split", "row", is_lost, maintain_order=True).agg(
        pl.col("rule").unique(maintain_order=True).str.join("; ").alias("_rule"),
        (where + pl.col("advice")).str.join("; ").alias("_reason"),
        pl.col("value").first().alias(UNREADABLE),
    )
    parts = [_of_split(split, table, reasons) for split, table in tables.items()]
    whole = pa.concat_tables(_of_one_type(parts), promote_options="permissive")
    ours = [name for name in whole.column_names if name.startswith("_")]
    return whole.select([name for name in whole.column_names if name not in ours] + ours)


def _of_split(split: str, table: pa.Table, reasons: pl.DataFrame) -> pa.Table:
    own = reasons.filter(pl.col("split") == split)
    whole = own.filter(~pl.col("is_lost"))
    places = pl.DataFrame({"row": table.column(ROW).to_numpy()}).with_row_index("place")
    joined = whole.join(places, on="row", how="inner").sort("place")
    # Rows that were rejected before have columns of ours too.
    theirs = [name for name in table.column_names if not name.startswith("_")]
    rows = table.select([*theirs, ROW]).take(pa.array(joined["place"].to_numpy()))
    for name in ("_rule", "_reason"):
        rows = rows.append_column(name, joined[name].cast(pl.String).to_arrow())
    lost = own.filter("is_lost").rename({"row": ROW})
    unread = lost.select(ROW, "_rule", "_reason", UNREADABLE).to_arrow()
    together = pa.concat_tables([rows, unread], promote_options="permissive")
    return together.append_column("_split", pa.array([split] * together.num_rows, pa.string()))


def _of_one_type(parts: Sequence[pa.Table]) -> list[pa.Table]:
    """`parts` with those columns as text whose types can't be brought together."""
    mended = list(parts)
    for name in dict.fromkeys(name for part in parts for name in part.column_names):
        fields = [part.schema.field(name) for part in parts if name in part.column_names]
        try:
            pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive")
        except pa.ArrowException:
            mended = [
                part.set_column(
                    part.column_names.index(name), name, canonical_strings(part.column(name))
                )
                if name in part.column_names
                else part
                for part in mended
            ]
    return mended
