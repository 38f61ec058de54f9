"""What tasks share about rows: choosing columns, padding, keeping a loss's digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.tasks.base import Batch, Example, Row, TaskOptions
from tunesmith.tasks.framing import PLACEHOLDER as PLACEHOLDER
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch


IGNORED = -100
"""Label of a token that is not an answer: PyTorch's `ignore_index`."""


@dataclass(frozen=True)
class Wanted:
    """A role that a column must play: the option that names it, and its usual names."""

    role: str
    option: str
    usual_names: tuple[str, ...]
    holds: type | None = None
    """What its values must be, so that it is told from others without a usual name."""


def choose_columns(
    options: TaskOptions,
    wanted: Sequence[Wanted],
    available: Sequence[str],
    sample: Sequence[Row],
) -> dict[str, str]:
    """Role → column: as the options say, else by usual name, else the only one that can be it.

    Raises ConfigError with a problem for each role without a column.
    """
    there = [name for name in available if not name.startswith("_")]
    listed = ", ".join(there) or "none"
    chosen: dict[str, str | None] = {
        want.role: named for want in wanted if (named := getattr(options, want.option)) in there
    }
    for guess in (_by_usual_name, _only_one):
        for want in wanted:
            if getattr(options, want.option) is None and chosen.get(want.role) is None:
                free = [name for name in there if name not in chosen.values()]
                chosen[want.role] = guess(want, free, sample)
    problems = []
    for want in wanted:
        named = getattr(options, want.option)
        if chosen.get(want.role) is not None:
            continue
        if named is None:
            message = f"no column is plainly the {want.role.replace('_', ' ')}: name it"
            problems.append(Problem(f"task.{want.option}", message, accepted=listed))
        else:
            near = nearest(named, there)
            problems.append(Problem(f"task.{want.option}", "no such column", named, listed, near))
    if problems:
        raise ConfigError(problems)
    return {want.role: str(chosen[want.role]) for want in wanted}


def asked_columns(given: str | Mapping[str, Any], wanted: Sequence[str]) -> Row:
    """A question as a row of the columns `wanted`: a text where it is one, else by their names.

    Raises DataError naming the columns when one is missing or holds nothing.
    """
    named = " and ".join(map(repr, wanted))
    if isinstance(given, str):
        if len(wanted) != 1:
            raise DataError(f"a text alone can't be asked here: give the columns {named}.")
        given = {wanted[0]: given}
    for name in wanted:
        if name not in given:
            near = nearest(name, given)
            there = ", ".join(given) or "none"
            hint = f"; did you mean {near} by it?" if near else "."
            raise DataError(f"there is no column {name!r} among {there}; asked for: {named}{hint}")
    row = {name: canonical(given[name]) for name in wanted}
    if not any(text.strip() for text in row.values()):
        raise DataError(f"there is no text in {named}.")
    return row


def require_placeholders(template: str, option: str, available: Sequence[str]) -> None:
    """Raise ConfigError when `template` has a `{column}` that isn't one of those `available`."""
    problems = [
        Problem(option, f"no column {name!r}", accepted=", ".join(available),
                suggestion=nearest(name, available))
        for name in PLACEHOLDER.findall(template)
        if name not in available
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)


def _by_usual_name(want: Wanted, free: Sequence[str], sample: Sequence[Row]) -> str | None:
    by_name = {name.casefold(): name for name in free}
    for usual in want.usual_names:
        if usual in by_name and _fits(by_name[usual], want, sample):
            return by_name[usual]
    return None


def _only_one(want: Wanted, free: Sequence[str], sample: Sequence[Row]) -> str | None:
    fitting = [name for name in free if _fits(name, want, sample)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(name: str, want: Wanted, sample: Sequence[Row]) -> bool:
    values = [row[name] for row in sample if row.get(name) is not None]
    return want.holds is None or all(isinstance(value, want.holds) for value in values)


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
            batch[name] = torch.tensor(
                [
                    gap + list(example[name]) if left else list(example[name]) + gap
                    for gap, example in zip(gaps, examples, strict=True)
                ]
            )
    lengths = torch.tensor([len(example["input_ids"]) for example in examples])[:, None]
    positions = torch.arange(longest)[None, :]
    mask = positions >= longest - lengths if left else positions < lengths
    batch["attention_mask"] = mask.long()
    return batch
