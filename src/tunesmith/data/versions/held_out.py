"""The split of a version that Tunesmith held out when it was recorded, and its way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tunesmith.data.reading.rows import ROW

HELD_OUT = "held_out"
"""What such a split is called: its rows judge."""

HELD_OUT_BEFORE = "validation"
"""What it was called by versions that 0.1 recorded."""


def whole_tables(
    tables: Mapping[str, pa.Table], split_by: Mapping[str, Any]
) -> dict[str, pa.Table]:
    """A version's splits as its source had them: held-out rows where they were."""
    tables = dict(tables)
    if not split_by:
        return tables
    split = split_by.get("split", "train")
    held_out = HELD_OUT if HELD_OUT in tables else HELD_OUT_BEFORE
    together = pa.concat_tables([tables.pop(split), tables.pop(held_out)])
    return {split: together.sort_by(ROW), **tables}
