"""Rows that say themselves that they are not to be learned; their layout finds them."""

from __future__ import annotations

from tunesmith.config.rule_field import NEEDED
from tunesmith.data.checking.rule import Rule


class MarkedRows(Rule):
    """Rows that their own marks leave out: a bad answer, one that was rejected, a weight of 0."""

    name = "marked_rows"
    label = "rows marked to be left out"
    actions = NEEDED
    default = "drop"
