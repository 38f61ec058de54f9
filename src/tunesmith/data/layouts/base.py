"""A layout: how the rows of a table say what their task needs, and what each column is used as.

Rules, stated first:

- A family of layouts is one file in this folder, found by being there, or a class of another
  package (`plugins`); nothing else lists layouts.
- A layout's name is recorded with the data and with the adapter: whoever asks the adapter with rows
  of the same layout is understood.
- What it can't convert stays as it is, so that the rules report the row. What it doesn't use it
  names (`ignore`). Nothing that stands in a row is passed over in silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.data.layouts.turns import LEARNED_KEYS, says_no, says_yes
from tunesmith.errors import DataError
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row


class LeftOut(DataError):
    """Raised for a row that its own marks leave out, such as a weight of 0; says why."""


class Layout(ABC):
    """One way to lay out rows, as it is found in one table for one task."""

    name: ClassVar[str]
    """What `data.layout` calls it."""
    label: ClassVar[str]
    """What people call it, such as `Alpaca`."""
    tasks: ClassVar[tuple[str, ...]]
    """The tasks whose data it can hold; the one that is guessed where none is named first."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Columns of `types`, and fields of objects in them, that are left out where no row has them.
    """

    def __init__(
        self,
        columns: Sequence[str],
        sample: Sequence[Row],
        task: str,
        named: Collection[str] = (),
    ) -> None:
        """`columns` of the table, without `_row`; its first rows; the task that is to learn, and
        the columns that its options name."""
        self.columns, self.sample, self.task, self.named = list(columns), sample, task, named
        self.ignored: Counter[str] = Counter()
        """Key inside a column, as `messages[].name` → how many times it was not used."""
        self.notes: list[Message] = []
        """What is to be said of what was put together."""
        self.together: dict[int, list[int]] = {}
        """Number of a row of the table that is trained on → those of all that it was made of."""

    @classmethod
    @abstractmethod
    def recognizes(cls, columns: Sequence[str], sample: Sequence[Row]) -> bool:
        """Whether rows with these columns, such as those of `sample`, are laid out like this."""

    @abstractmethod
    def used(self) -> Mapping[str, Message]:
        """Column → what it is used as, such as `question`; of these, only those that `types` names
        are columns afterwards."""

    @abstractmethod
    def convert(self, row: Row) -> dict[str, Any]:
        """The columns of `types`, as the task knows them; columns that aren't `used` stay.

        Raises LeftOut for a row that its own marks leave out.
        """

    @abstractmethod
    def types(self) -> Mapping[str, pa.DataType]:
        """The columns that `convert` gives, with their Arrow types.

        Where a value is of another type, the whole column is text: lists and objects as JSON.
        """

    def gathered(self, table: pa.Table) -> pa.Table:
        """`table` with what several of its rows say together in one row each, the first of them.

        Raises DataError where there is nothing that could be put together.
        """
        return table

    def stands(self, table: pa.Table) -> bool:
        """Whether `table` needs no converting, as what `convert` gives is what it holds."""
        return False

    def column(self, batch: pa.RecordBatch) -> pa.Array | None:
        """The one column of `types` for all rows of `batch` at once, where that gives what
        `convert` does and names all that isn't used; None where each row is to be looked at."""
        return None

    def question(self, row: Row) -> Row:
        """What is asked in `row`, whether it has an answer or not, as the task's `question` takes
        it; a row that isn't laid out like this comes back as it is."""
        return row

    def ignore(self, key: str) -> None:
        """Note that what stands at `key`, such as `messages[].name`, is not used."""
        self.ignored[key] += 1


# -- rows that say themselves whether they are learned ---------------------------------------------


def mark_columns(columns: Sequence[str], sample: Sequence[Row]) -> dict[str, Message]:
    """The columns that say yes or no, such as a `weight` of 0 or 1, as what they are used."""
    return {
        name: say("whether it is learned")
        for name in columns
        if name.casefold() in LEARNED_KEYS
        and any(row.get(name) is not None for row in sample)
        and all(
            row.get(name) is None or says_no(row[name]) or says_yes(row[name]) for row in sample
        )
    }


def require_learned(row: Row, marks: Iterable[str]) -> None:
    """Raise LeftOut where a column of `marks` says that `row` is not to be learned."""
    for name in marks:
        if says_no(row.get(name)):
            raise LeftOut("{name} is {value}: not to be learned", name=name, value=row[name])
