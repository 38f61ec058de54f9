"""What the model's tokenizer tells of rows, counted when a rule asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tunesmith.data.checking.examined import Examined, Mask
from tunesmith.data.texts import as_series
from tunesmith.errors import DataError, RefusedChatError
from tunesmith.messages import say
from tunesmith.progress import doing
from tunesmith.tasks.base import Row
from tunesmith.tasks.results import Unwritten
from tunesmith.tasks.tokens.unknown import Shares

TOKEN_ROWS = 2_000

SAMPLE, SAMPLED_LENGTH = 1_000, 1_000
"""Texts by which it is found out how well a tokenizer knows them, and characters of each."""


@dataclass(frozen=True)
class ByTokenizer:
    """What only the model's tokenizer tells of rows."""

    count: Callable[[Sequence[Row]], list[int]]
    """The tokens that each has before any cut."""
    control: Callable[[Sequence[Row]], list[str | None]]
    """The first control token of the chat format that each holds as text."""
    unwritten: Callable[[Sequence[Row]], list[Unwritten | None]]
    """What the model's chat template leaves out of each one's tools."""
    model: str
    """The base model's name."""
    shares: Callable[[Sequence[str]], Shares]
    """How well the tokenizer knows the script of texts."""

    def counted(self, rows: Sequence[Row]) -> tuple[list[int], dict[int, str]]:
        """The tokens of each of `rows`, and index → why, of those that can't be written as the
        model reads them; they have none.
        """
        try:
            return self.count(rows), {}
        except (RefusedChatError, DataError) as error:
            if len(rows) == 1:
                return [0], {0: str(error)}
        counts, refused = [], {}
        for index, row in enumerate(rows):
            (count,), reason = self.counted([row])
            counts.append(count)
            if reason:
                refused[index] = reason[0]
        return counts, refused


@dataclass
class Counted:
    """The rows of one split as the tokenizer reads them."""

    rows: Examined
    tokens: ByTokenizer
    max_length: int
    """Most tokens that the model sees of a row."""

    @property
    def column(self) -> str:
        """The column that findings are noted at."""
        return (self.rows.asked or self.rows.task.read_columns())[0]

    @cached_property
    def unwritten(self) -> dict[int, Unwritten]:
        """Index of a row of whose tools the chat template leaves something out → what."""
        every = [lost for batch in self._batches() for lost in self.tokens.unwritten(batch)]
        return {index: lost for index, lost in enumerate(every) if lost is not None}

    def _batches(self) -> Iterator[Sequence[Row]]:
        table = self.rows.table.select(self.rows.task.read_columns())
        return (batch.to_pylist() for batch in table.to_batches(max_chunksize=TOKEN_ROWS))

    @cached_property
    def _counted(self) -> tuple[list[int], dict[int, str]]:
        counts: list[int] = []
        refused: dict[int, str] = {}
        total = self.rows.table.num_rows
        for batch in self._batches():
            doing(say("counting tokens: {done:,} of {total:,}", done=len(counts), total=total))
            found, reasons = self.tokens.counted(batch)
            refused |= {len(counts) + index: reason for index, reason in reasons.items()}
            counts += found
        return counts, refused

    @property
    def counts(self) -> list[int]:
        """The tokens of each row before any cut; none of a refused one."""
        return self._counted[0]

    @property
    def refused(self) -> dict[int, str]:
        """Index of a row that can't be written as the model reads it → why."""
        return self._counted[1]

    @cached_property
    def long(self) -> Mask:
        """Which rows the model sees a part of."""
        return np.array(self.counts, dtype=np.int64) > self.max_length

    @property
    def share(self) -> float:
        """Their share of all rows."""
        return float(self.long.mean()) if len(self.long) else 0.0

    def seen(self, index: int) -> str:
        """How much of a row the model sees, in words."""
        return say(
            "{counts:,} tokens, of which the model sees {max_length:,}",
            counts=self.counts[index],
            max_length=self.max_length,
        )

    @cached_property
    def shares(self) -> Shares:
        """How well the tokenizer knows the script of the texts, by a sample of them."""
        texts = [
            as_series(self.rows.table.column(name), answers=True) for name in self.rows.written
        ]
        chosen = np.unique(np.linspace(0, self.rows.table.num_rows - 1, SAMPLE, dtype=np.int64))
        sample = [text[:SAMPLED_LENGTH] for each in texts for text in each.gather(chosen)]
        return self.tokens.shares(sample)

    @cached_property
    def control(self) -> dict[int, str]:
        """Index of a row that holds a control token as text → the first one."""
        every = [token for batch in self._batches() for token in self.tokens.control(batch)]
        return {index: token for index, token in enumerate(every) if token is not None}
