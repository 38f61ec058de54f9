"""A rule: texts in capitals."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import Field

from tunesmith.data.checking.rule import Rule

if TYPE_CHECKING:
    from tunesmith.data.checking.examined import Examined


class Shouting(Rule):
    """Texts of which too many letters are capitals."""

    name = "toy_shouting"
    label = "toy shouting"
    summary = "Text with a larger share of capitals than toy_most_capitals."
    default = "drop"
    bounds = MappingProxyType(
        {"toy_most_capitals": (float, Field(0.5, ge=0, le=1, description="Of the letters."))}
    )

    def check(self, rows: Examined) -> None:
        import numpy as np

        for column in rows.asked:
            texts = rows.table.column(column).to_pylist()
            shares = [sum(map(str.isupper, text)) / max(len(text), 1) for text in texts]
            loud = np.array(shares) > rows.rules.toy_most_capitals
            rows.note(self.name, loud, column, "toy advice: write it in small letters")
