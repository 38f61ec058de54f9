"""Labels that are written in several ways: surely one, or probably one."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tunesmith.data.checking import label_rules
from tunesmith.data.checking.examined import Examined
from tunesmith.data.checking.label_values import one_spelling, respelled
from tunesmith.messages import say


def join(sides: Sequence[Examined]) -> None:
    """Give labels that are surely one their commonest spelling; note those that probably are one.

    These are joined too where the action of `label_variants` is `fix`.
    """
    known = sides[0].task.labels_wanted() or ()
    action = sides[0].actions["label_variants"]
    for likely in (False, True) if action != "ignore" else (False,):
        counts = label_rules.count([rows.labels for rows in sides])
        spelling = one_spelling(counts, known, likely=likely)
        for rows in sides if spelling else ():
            _note(rows, spelling, counts, likely=likely)
            if not likely or action == "fix":
                rows.replace(
                    str(rows.label), respelled(rows.table.column(str(rows.label)), spelling)
                )


def _note(
    rows: Examined, spelling: dict[str, str], counts: dict[str, int], *, likely: bool
) -> None:
    others = pl.element().is_in(list(spelling))
    first = rows.labels.list.eval(pl.element().filter(others)).list.first()
    found = {index: str(first[index]) for index in first.is_not_null().arg_true().to_list()}

    def advice(index: int) -> str:
        label = found[index]
        best = spelling[label]
        if not likely or rows.actions["label_variants"] == "fix":
            return say("read as {label}", label=repr(best))
        return say(
            "{other} ({n:,}) and {label} ({m:,}) may be one label: write them alike, or join them "
            "with data.validation_rules.label_variants: fix",
            other=repr(label),
            n=counts[label],
            label=repr(best),
            m=counts[best],
        )

    done = None if likely else "fix"
    if rows.actions["label_variants"] != "ignore":
        rows.note("label_variants", found, str(rows.label), advice, action=done)
