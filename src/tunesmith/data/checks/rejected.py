"""The rows that a check left out, as they were, with the reason: to mend and to send back."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from tunesmith.data.checks.report import CheckReport
from tunesmith.data.reading.rows import ROW

LEFT_OUT = ("drop", "fail")
UNREADABLE = "_unreadable"


def rejected_rows(tables: Mapping[str, pa.Table], report: CheckReport) -> pa.Table:
    """The rows of `tables` (split → rows) that rules dropped or refused, one line each.

    To the columns of the source come `_split`, `_row`, `_rule` and `_reason` (several with "; "),
    and `_unreadable` with the text of lines that are no row. They don't count when the mended rows
    are read again: columns with a leading `_` are ours.
    """
    findings = report.table.filter(pl.col("action").is_in(LEFT_OUT), pl.col("row").is_not_null())
    reasons = findings.group_by("split", "row", maintain_order=True).agg(
        pl.col("rule").unique(maintain_order=True).str.join("; ").alias("_rule"),
        (pl.col("column") + ": " + pl.col("advice")).str.join("; ").alias("_reason"),
        pl.col("value").filter(pl.col("rule") == "unreadable_rows").first().alias(UNREADABLE),
    )
    parts = [_of_split(split, table, reasons) for split, table in tables.items()]
    whole = pa.concat_tables(parts, promote_options="permissive")
    ours = [name for name in whole.column_names if name.startswith("_")]
    return whole.select([name for name in whole.column_names if name not in ours] + ours)


def _of_split(split: str, table: pa.Table, reasons: pl.DataFrame) -> pa.Table:
    own = reasons.filter(pl.col("split") == split).drop("split")
    lost = own.filter(pl.col(UNREADABLE).is_not_null())
    whole = own.filter(pl.col(UNREADABLE).is_null())
    places = pl.DataFrame({"row": table.column(ROW).to_numpy()}).with_row_index("place")
    joined = whole.join(places, on="row", how="inner").sort("place")
    rows = table.take(pa.array(joined["place"].to_numpy()))
    for frame, target in ((joined, rows),):
        for name in ("_rule", "_reason"):
            target = target.append_column(name, frame[name].cast(pl.String).to_arrow())
    unread = lost.rename({"row": ROW}).select(ROW, "_rule", "_reason", UNREADABLE).to_arrow()
    together = pa.concat_tables([target, unread], promote_options="permissive")
    return together.append_column("_split", pa.array([split] * together.num_rows, pa.string()))
