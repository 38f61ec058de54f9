"""Whether an export answers as the adapter does: what may differ, what differed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import VerificationError
from tunesmith.messages import say
from tunesmith.tasks.results import Prediction, first_rows, same_answer

FORMATS = ("float32", "float16", "bfloat16")
"""Number formats that a base model's weights can be computed and written in."""


@dataclass(frozen=True)
class Tolerance:
    """What may differ between an export and the adapter."""

    score: float
    """Largest difference of a score: a logit, or nats for each token of an answer."""
    answers: float
    """Smallest share of the labels that are the same, 0 to 1."""
    texts: float
    """Smallest share of the generated texts that are, to the letter."""


TOLERANCES: Mapping[str, Tolerance] = {
    "float32": Tolerance(1e-3, 1.0, 0.99),
    "float16": Tolerance(0.1, 0.99, 0.9),
    "bfloat16": Tolerance(0.5, 0.98, 0.8),
    "q8_0": Tolerance(0.5, 0.95, 0.8),
}
"""By the format that an export holds its numbers in.

Merging adds the same numbers in another order: in float32 that changes the sixth digit. The others
keep 11, 8 and 8 bits of every weight, so answers that were nearly another one may become that; and
one other word in a text makes all that follow it others.
"""

RECORD = 0.05
"""Largest difference, in nats, of the mean loss here and when the adapter was judged: that was in
another number format, perhaps on another device, which moves single answers that were close."""


@dataclass(frozen=True)
class Agreement:
    """What came of holding an export against the adapter."""

    rows: int
    same: int
    """Rows with the same answer."""
    needed: int
    """Rows that must have."""
    largest: float
    """The largest difference of a score."""
    tolerance: Tolerance
    same_as_recorded: int
    """Rows whose answer is also the one in `predictions.jsonl`."""
    chats: int = 0
    """Rows that were asked as chats, by the export's own chat template and settings."""
    same_chats: int = 0
    """Of these, those that got the adapter's answer."""

    def __str__(self) -> str:
        said = say(
            "{same:,} of {rows:,} held-out rows get the adapter's own answer (at "
            "least {needed:,} must); scores differ by at most {largest:.2g} (allowed "
            "{score:g}); {same_as_recorded:,} answers are those recorded when it was "
            "trained",
            same=self.same,
            rows=self.rows,
            needed=self.needed,
            largest=self.largest,
            score=self.tolerance.score,
            same_as_recorded=self.same_as_recorded,
        )
        if self.chats:
            said += say(
                "; asked by its own chat template, {same_chats:,} of {chats:,} chats get "
                "the adapter's answer",
                same_chats=self.same_chats,
                chats=self.chats,
            )
        return said


def check_record(
    own: Sequence[Prediction], recorded: Sequence[Mapping[str, Any]], experiment_id: str
) -> None:
    """Raises VerificationError when the adapter isn't here what it was when it was judged."""
    pairs = [
        (one.loss, other["loss"])
        for one, other in zip(own, recorded, strict=True)
        if one.loss is not None and other.get("loss") is not None
    ]
    if not pairs:
        return
    here, then = (sum(each) / len(pairs) for each in zip(*pairs, strict=True))
    if not abs(here - then) <= RECORD:  # said so that a NaN is a difference
        raise VerificationError(
            "the adapter of experiment {experiment_id} isn't here what it was when "
            "it was trained: its mean loss on the held-out rows was {then:.4f} then, "
            "and is {here:.4f}. Its files, its base model or the packages that run "
            "it have changed. Nothing was exported.",
            experiment_id=experiment_id,
            then=then,
            here=here,
        )


def compare(
    own: Sequence[Prediction],
    exported: Sequence[Prediction],
    recorded: Sequence[Mapping[str, Any]],
    tolerance: Tolerance,
    *,
    generated: bool,
    chats: Sequence[tuple[str, str]] = (),
) -> Agreement:
    """Hold what the export predicts against the adapter's `own` predictions, row by row.

    `generated`: the answers are texts that were written word by word, not labels. `chats`: what the
    adapter answers to each, and what whoever has the export alone is answered. Raises
    VerificationError when more differs than `tolerance` allows.
    """
    gaps = [
        abs(a - b) / max(one.tokens, 1)
        for one, other in zip(own, exported, strict=True)
        for a, b in zip(one.scores, other.scores, strict=True)
    ]
    differing = [
        a.row
        for a, b in zip(own, exported, strict=True)
        if not same_answer(a.predicted, b.predicted)
    ]
    found = Agreement(
        rows=len(own),
        same=len(own) - len(differing),
        needed=math.ceil((tolerance.texts if generated else tolerance.answers) * len(own)),
        largest=max(gaps, default=0.0),
        tolerance=tolerance,
        same_as_recorded=sum(
            same_answer(one.predicted, other["predicted"])
            for one, other in zip(exported, recorded, strict=True)
        ),
        chats=len(chats),
        same_chats=sum(one == other for one, other in chats),
    )
    # Said so that a NaN is a difference: no comparison with one is true.
    close = all(gap <= tolerance.score for gap in gaps)
    few = found.same_chats < math.ceil(tolerance.texts * found.chats)
    if not close or found.same < found.needed or few:
        said = say("the export doesn't answer as the adapter does: {found}", found=found)
        if differing:
            said += say("; other answers in rows {rows}", rows=first_rows(differing))
        for own_answer, read in [pair for pair in chats if pair[0] != pair[1]][:1]:
            said += say(
                "; a chat gets {other} instead of {other2}",
                other=repr(read[:60]),
                other2=repr(own_answer[:60]),
            )
        raise VerificationError(said + say(". Nothing was exported."))
    return found
