"""How often the rows of a test side may judge before they have chosen too much."""

from __future__ import annotations

from tunesmith.messages import say

MOST_LOOKS = 20
"""Experiments after which fresh rows are due to judge by."""


def worn_out(looks: int) -> str | None:
    """What is said where so many experiments were judged by the same rows; None below MOST_LOOKS.

    Dwork et al. (2015, "The reusable holdout"): who goes on by what rows have said fits to them.
    """
    if looks < MOST_LOOKS:
        return None
    return say(
        "{looks:,} experiments have been judged by these rows, and each that was kept or changed "
        "for it fits them a little more: fresh rows are due (tunesmith data refresh-test).",
        looks=looks,
    )
