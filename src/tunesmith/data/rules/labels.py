"""Rules about labels: missing, unknown, rare, against each other; tasks find broken tags."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tunesmith.config.rule_field import MENDING, NEEDED, bound
from tunesmith.data.checking.rule import Rule
from tunesmith.errors import DataError, did_you_mean
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.values import canonical

if TYPE_CHECKING:
    from tunesmith.data.checking.across_splits import Together
    from tunesmith.data.checking.examined import Examined


class BrokenTags(Rule):
    """Tags that break IOB2 or don't fit their words; spans out of the text."""

    name = "broken_tags"
    label = "broken tags"
    actions = NEEDED
    default = "drop"


class ConflictingLabels(Rule):
    """The same text with different labels; drop leaves out all of them."""

    name = "conflicting_labels"
    label = "conflicting labels"
    compares = True

    def check_together(self, data: Together) -> None:
        for rows in data.sides:
            found = data.contradicting(rows.split)

            def advice(index: int, found: dict[int, str] = found) -> str:
                labels = found[index]
                return say("the same text stands with {labels}: decide for one", labels=labels)

            rows.note(self.name, found, data.label or data.column, advice)


class InexactSpans(Rule):
    """Entities that cut a word, or are other words than they say."""

    name = "inexact_spans"
    label = "inexact spans"


class LabelImbalance(Rule):
    """Labels beyond max_imbalance_ratio."""

    name = "label_imbalance"
    label = "uneven labels"
    actions = ("warn", "fail", "ignore")
    bounds = bound(
        "max_imbalance_ratio", float, 3.0, ge=1.0,
        description="Rows of the commonest label by those of the rarest, at most.",
    )  # fmt: skip

    def check_together(self, data: Together) -> None:
        first, bound = data.sides[0], data.rules.max_imbalance_ratio
        left = dict(data.label_counts)
        if first.actions["rare_labels"] == "drop":
            left = {label: rows for label, rows in left.items() if label not in data.rare_labels}
        if len(left) < 2:
            return
        most, least = max(left, key=left.__getitem__), min(left, key=left.__getitem__)
        ratio = left[most] / left[least]
        if ratio > bound:
            value = say(
                "{left:,} rows {canonical}, {left2:,} rows {least}",
                left=left[most],
                canonical=repr(canonical(most)),
                left2=left[least],
                least=repr(least),
            )
            remedy = say(
                "{ratio:,.1f} to 1, more than {most:g} to 1: give more rows of the rare "
                "label, or set task.class_weights: balanced",
                ratio=ratio,
                most=bound,
            )
            first.note_all(self.name, str(data.label), value, remedy)


class LabelVariants(Rule):
    """Labels that differ by capitals, width, spaces or hyphens alone; fix joins them."""

    name = "label_variants"
    label = "labels written in several ways"
    actions = MENDING


class LabelMarks(Rule):
    """Labels -1 or -100, with which many datasets mark rows without a label."""

    name = "label_marks"
    label = "marks of no label"

    def check_together(self, data: Together) -> None:
        label_rules = load("tunesmith.data.checking.label_rules")
        labels = {split: {*label_rules.count([own])} for split, own in data.labels.items()}
        marks = label_rules.marks_of_none(labels)
        for rows in data.sides if marks else ():
            texts = label_rules.as_text(data.labels[rows.split])
            learned = labels[data.sides[0].split]
            for mark in marks:
                is_none = mark not in learned
                advice = (
                    say("it means that there is no label: no row to train on has it")
                    if is_none
                    else say("it may mean that there is no label: data.validation_rules."
                             "label_marks: drop leaves such rows out")
                )  # fmt: skip
                action = "drop" if is_none else None
                found = (texts == mark).to_numpy()
                rows.note(self.name, found, str(data.label), advice, action=action)


class MissingLabels(Rule):
    """Rows without a label."""

    name = "missing_labels"
    label = "missing labels"
    actions = NEEDED
    default = "drop"

    def check(self, rows: Examined) -> None:
        if rows.label is None:
            return
        written = rows.blank_labels
        missing = rows.unlabelled.copy()
        missing[[*written]] = False
        rows.note(self.name, missing, rows.label, say("give the row a label"))
        advice = say("so a missing value is written: give the row a label; where it is one, name "
                     "it in task.labels")  # fmt: skip
        rows.note(self.name, written, rows.label, advice, [repr(text) for text in written.values()])


class RareLabels(Rule):
    """Labels with suspiciously few rows."""

    name = "rare_labels"
    label = "rare labels"

    def check_together(self, data: Together) -> None:
        for rows in data.sides if data.rare_labels else ():
            lists = data.labels[rows.split].to_list()
            rare = [next(filter(None, map(data.rare_labels.get, labels)), "") for labels in lists]
            found = [index for index, advice in enumerate(rare) if advice]
            rows.note(self.name, found, str(data.label), rare.__getitem__)


class UnknownLabels(Rule):
    """Rows whose label is not among task.labels, or is no number."""

    name = "unknown_labels"
    label = "unknown labels"
    actions = NEEDED
    default = "fail"

    def check(self, rows: Examined) -> None:
        """Raises DataError where no row has a label that is wanted."""
        if rows.label is None:
            return
        values, wanted = rows.table.column(rows.label), rows.task.labels_wanted()
        names, known = ", ".join(wanted or ()), list(wanted or ())
        hint = functools.cache(lambda label: did_you_mean(label, known))

        rows.note(self.name, rows.no_labels, rows.label, rows.no_labels.__getitem__)
        unknown = (
            load("tunesmith.data.checking.label_rules").unknown(rows.labels, wanted)
            & ~rows.unlabelled
        )
        unknown[[*rows.no_labels]] = False
        if (rows.unlabelled | unknown).all() and rows.actions[self.name] != "fail":
            of = say(" of {names}", names=names) if wanted else ""
            raise DataError(
                "no row has a label{what} in column {column}; it holds {values}",
                what=of,
                column=rows.label,
                values=load("tunesmith.data.filtering").frequent_values(values),
            )
        rows.note(
            self.name,
            unknown,
            rows.label,
            lambda index: say(
                "use one of {names}, or name the label in task.labels{hint}",
                names=names,
                hint=hint(canonical(values[index].as_py())),
            ),
        )
