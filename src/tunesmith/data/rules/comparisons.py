"""Rules that hold rows against each other: repeated, and on both sides of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.config.rule_field import bound
from tunesmith.data.checking.rule import Rule
from tunesmith.messages import say

if TYPE_CHECKING:
    from tunesmith.data.checking.across_splits import Together

NEAR_LEAKAGE = say("the model is judged by nearly this text, so its score flatters it")


class Duplicates(Rule):
    """Rows with text and label of an earlier one; drop keeps the first."""

    name = "duplicates"
    label = "duplicates"
    compares = True

    def check_together(self, data: Together) -> None:
        what = say("text") if data.label is None else say("text and label")
        for rows in data.sides:
            again, first = data.repeats[rows.split]
            earlier = dict(zip(again.tolist(), rows.rows[first].tolist(), strict=True))

            def advice(index: int, earlier: dict[int, int] = earlier) -> str:
                return say("the same {what} as row {row}", what=what, row=earlier[index])

            rows.note(self.name, again, data.column, advice)


class Leakage(Rule):
    """Training rows with a held-out row's text."""

    name = "leakage"
    label = "held-out texts in training"
    default = "drop"
    compares = True

    def check_together(self, data: Together) -> None:
        if len(data.sides) > 1:
            advice = say("the model is judged by this text: don't train on it")
            data.sides[0].note(self.name, data.leaking, data.column, advice)


class NearDuplicates(Rule):
    """Rows with nearly the text of an earlier one; drop keeps the first."""

    name = "near_duplicates"
    label = "near-duplicates"
    compares = True
    bounds = bound(
        "near_duplicate_similarity", float, 0.8, gt=0.0, le=1.0,
        description="Share of common words from which texts are nearly equal.",
    )  # fmt: skip

    def check_together(self, data: Together) -> None:
        for rows in data.sides:
            again, first = data.likeness.repeated(rows.split)
            advice = {
                index: say("the text of row {row} but for capitals and spaces", row=row)
                for index, row in zip(again.tolist(), rows.rows[first].tolist(), strict=True)
            }
            for later, (similarity, earlier) in data.likeness.nearest_earlier(rows.split).items():
                advice[later] = say(
                    "{share:.0%} of the words are those of row {row}",
                    share=similarity,
                    row=int(rows.rows[earlier]),
                )
            known = {*data.repeats[rows.split][0].tolist(), *data.contradicting(rows.split)}
            found = advice.keys() - known
            rows.note(self.name, found, data.column, advice.__getitem__)


class NearLeakage(Rule):
    """Training rows with nearly a held-out row's text.

    Where one split is divided, `data.dataset.hold_out` looks.
    """

    name = "near_leakage"
    label = "nearly held-out texts in training"
    compares = True

    def check_together(self, data: Together) -> None:
        if len(data.sides) > 1:
            near = data.near_held_out & ~data.leaking
            data.sides[0].note(self.name, near, data.column, NEAR_LEAKAGE)
