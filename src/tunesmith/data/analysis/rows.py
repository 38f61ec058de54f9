"""The rows of all splits as one column of texts, and what an analysis asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.analysis.chats import answers, as_chats
from tunesmith.data.analysis.distribution import Distribution, Integers, distribution
from tunesmith.data.analysis.typical_words import WordCounts
from tunesmith.data.content import canonical_strings, is_list
from tunesmith.data.filtering import require_column
from tunesmith.data.reading.rows import ROW
from tunesmith.data.texts import is_chat, normalised, row_texts
from tunesmith.values import shortened

SHOWN_CHARACTERS = 300
"""To this many characters texts are shortened."""

_BATCH_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """A row to look at: where it is, and its text, shortened."""

    split: str
    row: int
    """1-based number of the row in its source."""
    text: str
    characters: int
    answer: str | None = None
    """The answers of a chat."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows whose text is that of an earlier row, but for case, width and white space."""

    rows: int
    """Rows that repeat an earlier one."""
    texts: int
    """Different texts that stand there more than once."""
    most_repeated: list[tuple[ExampleRow, int]]
    """The first row of the texts that stand there most often, and how often."""


@dataclass(frozen=True, slots=True)
class Chats:
    """What only chats have."""

    turns: Distribution | None
    """Turns of every role in a chat."""
    answer_characters: Distribution | None
    """Characters of the assistant's turns together, in chats with an answer."""
    answer_words: Distribution | None
    without_answer: int
    """Chats without any answer."""


class Rows:
    """All rows of all splits in one order, and what is known of each."""

    def __init__(
        self, tables: Mapping[str, pa.Table], text_columns: list[str], label_column: str | None
    ) -> None:
        for table in tables.values():
            for name in [*text_columns, *([label_column] if label_column else [])]:
                require_column(table, name)
        self.tables = tables
        self.text_columns = text_columns
        self.starts = np.cumsum([0, *(table.num_rows for table in tables.values())])
        self.words = WordCounts()
        self._texts = {
            split: _joined([row_texts(as_chats(table.column(name))) for name in text_columns])
            for split, table in tables.items()
        }
        columns = [[table.column(name) for name in text_columns] for table in tables.values()]
        self.missing = _concatenated([_any(map(pc.is_null, row)) for row in columns], np.bool_)
        self.empty = _concatenated([_any(map(_is_blank, row)) for row in columns], np.bool_)
        batches = [batch for _, batch in self._batches()]
        lengths = [batch.str.strip_chars().str.len_chars().to_numpy() for batch in batches]
        self.characters: Integers = _concatenated(lengths, np.int64)
        # Equal for texts that differ in case, width and white space only.
        hashes = [normalised(batch).hash().to_numpy() for batch in batches]
        self._hashes = _concatenated(hashes, np.uint64)
        self.label_names, self._labelled, self._label_of, self.missing_labels = _labels(
            [table.column(label_column) for table in tables.values()] if label_column else []
        )

    def _batches(self) -> Iterator[tuple[int, pl.Series]]:
        """Each batch's first place among all rows, and its texts."""
        for start, texts in zip(self.starts[:-1], self._texts.values(), strict=True):
            for offset in range(0, len(texts), _BATCH_ROWS):
                batch = pl.Series(pl.from_arrow(texts.slice(offset, _BATCH_ROWS)))
                yield int(start) + offset, batch

    # -- labels -------------------------------------------------------------------------------

    def label_counts(self) -> dict[str, int]:
        """Label → rows, the most frequent first, then by name."""
        return self._counted(self._label_of)

    def labels_by_split(self, order: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Split → label → rows, in the order of `order`; labels without a row are left out."""
        found = {}
        for number, split in enumerate(self.tables):
            low, high = np.searchsorted(self._labelled, self.starts[number : number + 2])
            counts = self._counted(self._label_of[low:high])
            found[split] = {label: counts[label] for label in order if label in counts}
        return found if order else {}

    def _counted(self, labels: Integers) -> dict[str, int]:
        counts = np.bincount(labels, minlength=len(self.label_names)).tolist()
        pairs = [(name, n) for name, n in zip(self.label_names, counts, strict=True) if n]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))

    # -- texts --------------------------------------------------------------------------------

    def count_words(self, detailed: Sequence[str]) -> Integers:
        """Count the words of every row, by label; all labels that aren't `detailed` are one."""
        others = len(self.label_names)
        number = np.array(
            [i if name in detailed else others for i, name in enumerate(self.label_names)], np.int64
        )
        found = []
        for start, batch in self._batches():
            low, high = np.searchsorted(self._labelled, [start, start + len(batch)])
            labels = (self._labelled[low:high] - start, number[self._label_of[low:high]])
            found.append(self.words.add(batch, labels if len(self.label_names) else ()))
        return _concatenated(found, np.int64)

    def duplicates(self, count: int) -> Duplicates:
        """The rows that repeat an earlier one; rows without text repeat nothing."""
        written = np.flatnonzero(self.characters > 0)
        _, first, times = np.unique(self._hashes[written], return_index=True, return_counts=True)
        repeated = times > 1
        first, times = written[first[repeated]], times[repeated]
        most = np.lexsort((first, -times))[:count]
        return Duplicates(
            rows=int((times - 1).sum()),
            texts=len(times),
            most_repeated=[(self.example(int(first[i])), int(times[i])) for i in most],
        )

    def typical_rows(self, label: int | None, count: int) -> list[ExampleRow]:
        """Rows of a label (None: of all) near its median length, none with another's text."""
        every = np.arange(len(self.characters))
        rows = every if label is None else self._labelled[self._label_of == label]
        rows = rows[self.characters[rows] > 0]
        if not len(rows):
            return []
        distance = np.abs(self.characters[rows] - np.median(self.characters[rows]))
        nearest_first = rows[np.argsort(distance, kind="stable")[: 20 * count]]
        _, different = np.unique(self._hashes[nearest_first], return_index=True)
        return [self.example(int(row)) for row in nearest_first[np.sort(different)[:count]]]

    def extremes(self, count: int, *, longest: bool) -> list[ExampleRow]:
        """The longest, or the shortest, rows with text."""
        rows = np.flatnonzero(self.characters > 0)
        lengths = -self.characters[rows] if longest else self.characters[rows]
        return list(map(self.example, rows[np.argsort(lengths, kind="stable")[:count]].tolist()))

    def example(self, place: int) -> ExampleRow:
        """The row at a place among all rows."""
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        split = list(self.tables)[number]
        table, index = self.tables[split], place - int(self.starts[number])
        row = table.column(ROW)[index].as_py() if ROW in table.column_names else index + 1
        answer = None
        for name in self.text_columns:
            column = as_chats(table.column(name).slice(index, 1))
            if is_chat(column.type):
                answer = shortened(answers(column)[0].as_py() or "", SHOWN_CHARACTERS)
        text = shortened(self._texts[split][index].as_py(), SHOWN_CHARACTERS)
        return ExampleRow(split, int(row), text, int(self.characters[place]), answer)

    # -- chats --------------------------------------------------------------------------------

    def chats(self) -> Chats | None:
        """What only chats have, over all text columns that hold chats; None where none does."""
        columns = [
            column
            for table in self.tables.values()
            for name in self.text_columns
            if is_chat((column := as_chats(table.column(name))).type)
        ]
        if not columns:
            return None
        turns = _concatenated(
            [pc.list_value_length(c).fill_null(0).to_numpy() for c in columns], np.int64
        )
        said = [pl.Series(pl.from_arrow(answers(column))) for column in columns]
        characters = _concatenated([text.str.len_chars().to_numpy() for text in said], np.int64)
        counter = WordCounts()
        lengths = _concatenated([counter.add(text) for text in said], np.int64)
        answered = characters > 0
        return Chats(
            turns=distribution(turns),
            answer_characters=distribution(characters[answered]),
            answer_words=distribution(lengths[answered]),
            without_answer=int((~answered).sum()),
        )


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """The texts of each row, a line break between them."""
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*columns, pa.scalar("\n", pa.large_string()))


def _is_blank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = row_texts(as_chats(column))
    return pc.equal(pc.utf8_trim_whitespace(texts), "")


def _any(masks: Iterator[pa.ChunkedArray]) -> npt.NDArray[np.bool_]:
    """Which rows are true in any of `masks`."""
    found: npt.NDArray[np.bool_] = np.any([mask.to_numpy() for mask in masks], axis=0)
    return found


def _concatenated(parts: Sequence[npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.asarray(part, kind) for part in [np.zeros(0, kind), *parts]])


def _labels(columns: Sequence[pa.ChunkedArray]) -> tuple[list[str], Integers, Integers, int]:
    """The names of labels, and for each label of a row: the row's place, the label's number.

    Also the number of rows without a label. A row whose value is a list has each label in it.
    """
    texts, places, start = [], [], 0
    for column in columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if is_list(column.type):
            place = pc.list_parent_indices(column.combine_chunks()).to_numpy()
            text = canonical_strings(pc.list_flatten(column))
        else:
            place = np.arange(len(column))
            text = canonical_strings(column)
        given = pc.not_equal(pc.utf8_trim_whitespace(text), "")
        texts.append(text.filter(given))
        places.append(place[given.to_numpy()] + start)
        start += len(column)
    chunks = [chunk for text in texts for chunk in text.chunks]
    encoded = pa.chunked_array(chunks, pa.large_string()).combine_chunks().dictionary_encode()
    labelled = _concatenated(places, np.int64)
    numbers = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    missing = start - len(np.unique(labelled))
    return encoded.dictionary.to_pylist(), labelled, numbers, missing
