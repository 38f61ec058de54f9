"""What tasks share about rows: choosing columns, padding, keeping a loss's digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.messages import Message, joined, say
from tunesmith.tasks.base import Batch, Columns, Example, Row
from tunesmith.tasks.options import TaskOptions
from tunesmith.tasks.parts.column_content import (
    is_few_labels,
    is_free_text,
    is_marks,
    is_no_data,
    is_numeric,
    median_length,
)
from tunesmith.tasks.tokens.framing import PLACEHOLDER as PLACEHOLDER
from tunesmith.values import canonical

if TYPE_CHECKING:
    import torch


IGNORED = -100
"""Label of a token that is not an answer: PyTorch's `ignore_index`."""


@dataclass(frozen=True)
class Wanted:
    """A role that a column must play, and its usual names."""

    role: str
    usual_names: tuple[str, ...]
    holds: type | None = None
    """What its values must be, so that it is recognised without a usual name."""
    looks: Literal["text", "label", "number"] | None = None
    """What its values look like, so that it is recognised by them."""

    @property
    def option(self) -> str:
        return f"{self.role}_column"


def choose_columns(
    options: TaskOptions,
    wanted: Sequence[Wanted],
    available: Sequence[str],
    sample: Sequence[Row],
) -> dict[str, str]:
    """Role → column: as the options say, else by usual name, by content, or as the only one left.

    Raises ConfigError with a problem for each role without a column.
    """
    there = [name for name in available if not name.startswith("_")]
    listed = ", ".join(there) or "none"
    chosen: dict[str, str | None] = {
        want.role: named for want in wanted if (named := getattr(options, want.option)) in there
    }
    for guess in (_by_usual_name, _by_content, _only_one):
        for want in wanted:
            if getattr(options, want.option) is None and chosen.get(want.role) is None:
                free = [name for name in there if name not in chosen.values()]
                chosen[want.role] = guess(want, free, sample)
    problems = []
    for want in wanted:
        named, field = getattr(options, want.option), f"task.{want.option}"
        if chosen.get(want.role) is not None:
            continue
        if named is None:
            role = want.role.replace("_", " ")
            message = say("no column is plainly the {role}: name it", role=role)
            problems.append(Problem(field, message, accepted=listed))
        else:
            near = nearest(named, there)
            problems.append(Problem(field, say("no such column"), named, listed, near))
    if problems:
        raise ConfigError(problems)
    return {want.role: str(chosen[want.role]) for want in wanted}


def asked_columns(given: str | Mapping[str, Any], wanted: Sequence[str]) -> Row:
    """A question as a row of the columns `wanted`: a text where it is one, else by their names.

    Raises DataError naming the columns when one is missing or holds nothing.
    """
    named = joined(map(repr, wanted), " and ")
    if isinstance(given, str):
        if len(wanted) != 1:
            raise DataError(
                "a text alone can't be asked here: give the columns {what}.", what=named
            )
        given = {wanted[0]: given}
    for name in wanted:
        if name not in given:
            near = nearest(name, given)
            there = ", ".join(given) or "none"
            hint = say("; did you mean {near} by it?", near=near) if near else say(".")
            raise DataError(
                "there is no column {name} among {there}; asked for: {named}{hint}",
                name=repr(name),
                there=there,
                named=named,
                hint=hint,
            )
    row = {name: canonical(given[name]) for name in wanted}
    if not any(text.strip() for text in row.values()):
        raise DataError("there is no text in {what}.", what=named)
    return row


def require_answers(options: TaskOptions, available: Sequence[str]) -> None:
    """Raise ConfigError where a lone column could only hold whole texts, with no answers."""
    there = [name for name in available if not name.startswith("_")]
    if len(there) == 1 and getattr(options, "completion_column", None) is None:
        alone = say(
            "{name} is the only column, so that nothing says where an answer begins: sft learns "
            "answers, not whole texts; give what is asked and the answer, or conversations",
            name=there[0],
        )
        raise ConfigError([Problem("task.completion_column", alone)])


def require_pairs(available: Sequence[str], sample: Sequence[Row], usual: set[str]) -> None:
    """Raise ConfigError where rows are single answers, marked as good or bad (KTO), and no column
    has one of the `usual` names."""
    if usual & {name.casefold() for name in available}:
        return
    for name in available:
        marks = name.casefold() in ("kto_tag", "label")
        if marks and {type(row.get(name)) for row in sample} == {bool}:
            single = say(
                "each row is one answer, and {tag} says whether it is a good one (KTO): task sft "
                "learns the good ones; for dpo put two answers to a prompt into one row, as "
                "chosen and rejected",
                tag=name,
            )
            raise ConfigError([Problem("task.chosen_column", single)])


def require_columns(option: str, names: Sequence[str], available: Sequence[str]) -> None:
    """Raise ConfigError with a problem for each of `names` that isn't `available`."""
    there = [name for name in available if not name.startswith("_")]
    problems = [
        Problem(option, say("no such column"), name, ", ".join(there), nearest(name, there))
        for name in names
        if name not in there
    ]
    if problems:
        raise ConfigError(problems)


def require_placeholders(template: str, option: str, available: Sequence[str]) -> None:
    """Raise ConfigError when `template` has a `{column}` that isn't one of those `available`."""
    problems = [
        Problem(option, say("no column {name}", name=repr(name)), accepted=", ".join(available),
                suggestion=nearest(name, available))
        for name in PLACEHOLDER.findall(template)
        if name not in available
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)


def with_marks(
    problems: Sequence[Problem], available: Sequence[str], sample: Sequence[Row]
) -> list[Problem]:
    """`problems`, which name the columns of 0 and 1 where no other column has labels."""
    marks = [name for name in available if is_marks([row.get(name) for row in sample])]
    if len(marks) < 2:
        return list(problems)
    message = say("no column is plainly the label; {names} hold 0 and 1: name those that are "
                  "labels in task.label_columns", names=marks)  # fmt: skip
    return [
        replace(problem, message=message)
        if problem.field == "task.label_column" and not problem.has_value
        else problem
        for problem in problems
    ]


def guessed(
    options: TaskOptions, names: Mapping[str, tuple[str, ...]], columns: Columns
) -> list[Message]:
    """What is to be said of the `columns` that were neither named nor known by their name."""
    return [
        say(
            "column {column} is taken as the {role}, by what it holds; another one is named in "
            "task.{role}_column",
            column=repr(column),
            role=role,
        )
        for role, column in columns.items()
        if getattr(options, f"{role}_column", column) is None
        and _plain_name(column) not in map(_plain_name, names.get(role, (column,)))
    ]


def _by_usual_name(want: Wanted, free: Sequence[str], sample: Sequence[Row]) -> str | None:
    by_name = {_plain_name(name): name for name in reversed(free)}
    for usual in want.usual_names:
        found = usual if usual in free else by_name.get(_plain_name(usual))
        if found is not None and _fits(found, want, sample):
            return found
    return None


def _plain_name(name: str) -> str:
    """`name` without what doesn't count in it: capitals, width, spaces and underscores."""
    return re.sub(r"[\s_\ufeff]+", "", unicodedata.normalize("NFKC", name).casefold())


def _by_content(want: Wanted, free: Sequence[str], sample: Sequence[Row]) -> str | None:
    """The only column that looks like what is wanted; of texts, one that is far longer too."""
    if want.looks is None:
        return None
    values = {name: _values(name, sample) for name in free}
    looks = {"text": is_free_text, "label": is_few_labels, "number": is_numeric}[want.looks]
    likely = [name for name in free if looks(values[name]) and not is_no_data(name, values[name])]
    if want.looks == "text" and len(likely) > 1:
        lengths = {name: median_length(values[name]) for name in likely}
        longest = max(lengths.values())
        likely = [name for name in likely if LONGER * lengths[name] > longest]
    return likely[0] if len(likely) == 1 else None


LONGER = 4
"""How many times as long as others a text must be to be taken for what is read."""


def _only_one(want: Wanted, free: Sequence[str], sample: Sequence[Row]) -> str | None:
    fitting = [
        name
        for name in free
        if _fits(name, want, sample) and not is_no_data(name, _values(name, sample))
    ]
    return fitting[0] if len(fitting) == 1 else None


def _values(name: str, sample: Sequence[Row]) -> list[Any]:
    return [row[name] for row in sample if row.get(name) is not None]


def _fits(name: str, want: Wanted, sample: Sequence[Row]) -> bool:
    return want.holds is None or all(
        isinstance(value, want.holds) for value in _values(name, sample)
    )


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """`logits` in float32, in which a loss keeps its digits; float64 stays."""
    import torch

    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def pad(
    examples: Sequence[Example], fields: Mapping[str, int], *, width: int = 0, left: bool = False
) -> Batch:
    """Tensors (rows, tokens) of the `fields` that the examples have, with their padding values.

    There are as many tokens as the longest example has, and `width` at least.

    Adds `attention_mask`: 1 where there is a token.
    """
    import torch

    longest = max(width, *(len(example["input_ids"]) for example in examples))
    batch: Batch = {}
    for name, value in fields.items():
        if name in examples[0]:
            gaps = [[value] * (longest - len(example[name])) for example in examples]
            rows = [
                gap + list(example[name]) if left else list(example[name]) + gap
                for gap, example in zip(gaps, examples, strict=True)
            ]
            batch[name] = torch.tensor(rows)
    lengths = torch.tensor([len(example["input_ids"]) for example in examples])[:, None]
    positions = torch.arange(longest)[None, :]
    mask = positions >= longest - lengths if left else positions < lengths
    batch["attention_mask"] = mask.long()
    return batch
