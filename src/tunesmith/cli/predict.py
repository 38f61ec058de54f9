"""`tunesmith predict`: ask an experiment's adapter one text, a file, or a stream without end."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, TextIO

import click
from rich.console import Console

from tunesmith.cli.once import OnceCommand
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.usable import USABLE, find_usable
from tunesmith.errors import DataError, StorageError
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.predictor import Answers, Predictor, Question
from tunesmith.serving.streams import FORMATS, AnswerWriter, Asked, JsonLines, Table, read_stream
from tunesmith.settings import Settings
from tunesmith.tasks.base import Answer
from tunesmith.tracking.files import beside
from tunesmith.tracking.store import Store

FIRST, AT_ONCE = 500, 4000
"""Rows that are read, sorted by length and answered together: few at first, so that answers come
soon, then twice as many each time, up to so many. The more, the less padding: with 1,000 reviews
at once it was an eighth of all tokens."""

CHARACTERS = 4_000_000
"""So many in the rows that are held are enough, however few rows they are."""

_ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


@click.command(cls=OnceCommand)
@click.argument("reference", metavar=USABLE)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option(
    "--text", "texts", multiple=True, help="Ask this text; may be given again, for several."
)
@click.option(
    "--input-format",
    type=click.Choice(FORMATS),
    help="What the input is; left out: by the file's ending, else a text a line.",
)
@click.option(
    "--format", "form", type=click.Choice(("jsonl", "csv")), default="jsonl", show_default=True,
    help="What is written.",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False),
    help="Write here instead of to the terminal; the file appears when it is whole.",
)  # fmt: skip
@click.option("--base", is_flag=True, help="The base model's own answer beside each.")
@click.option(
    "--max-new-tokens", type=click.IntRange(min=1), metavar="N",
    help="Longest generated answer; left out: as long as those learned from.",
)  # fmt: skip
@click.option("--device", help="cpu, cuda, cuda:N or mps; left out: the best one here.")
def predict(
    reference: str,
    file: str | None,
    texts: tuple[str, ...],
    input_format: str | None,
    form: str,
    output: Path | None,
    base: bool,
    max_new_tokens: int | None,
    device: str | None,
) -> None:
    """Ask the adapter of an experiment, or a version of a registered one.

    FILE holds a text a line, or a CSV, TSV or JSON Lines with the columns that it was trained on
    (for chats, a column messages); - is standard input. A row that can't be answered gets its
    error, and the others their answers; then the exit code is 2.
    """
    if (file is None) == (not texts):
        raise click.UsageError("give --text, a FILE, or - for standard input: one of them.")
    settings = Settings.read()
    errors = Terminal(stderr=True)
    with Store(settings.store_url) as store:
        experiment, version = find_usable(reference, store, errors)
    weights = None if version is None else version.weights_hash
    adapter = locate_adapter(experiment, settings, weights)
    with ExitStack() as stack:
        asked = _asked(file, texts, input_format, stack)
        predictor = Predictor(settings, device=device)
        writer = _writer(stack, output, form, base=base)
        work = _Work(predictor, adapter, writer, base, max_new_tokens, errors)
        work.run(asked)
    work.summarize()
    if work.faults:
        sys.exit(DataError.exit_code)


class _Work:
    """One call of the command: what is asked, answered and counted."""

    def __init__(
        self,
        predictor: Predictor,
        adapter: SavedAdapter,
        writer: tuple[AnswerWriter, TextIO],
        base: bool,
        max_new_tokens: int | None,
        errors: Console,
    ) -> None:
        self._predictor = predictor
        self._adapter = adapter
        self._writer, self._stream = writer
        self._base = base
        self._limit = max_new_tokens
        self._errors = errors
        self._seconds = 0.0
        self._base_reason: str | None = None
        self.answered = self.cut = self.faults = 0

    def run(self, asked: Iterator[Asked]) -> None:
        """Answer everything, some rows at a time."""
        with self._errors.status("loading the model") as status:
            if self._stream.isatty():  # answers and a status on one terminal would mix
                status.stop()
            for rows in _together(asked):
                self._answer(rows)
                self._stream.flush()
                status.update(f"{self.answered:,} answered, {self._rate()}")

    def summarize(self) -> None:
        """Say on standard error what there is to say of all of them."""
        if self._base_reason:
            self._errors.print(f"note: {self._base_reason}", highlight=False, soft_wrap=True)
        told = [f"{self.answered:,} answered, {self._rate()}"]
        told += [f"{self.cut:,} cut because they were too long"] if self.cut else []
        told += [f"{self.faults:,} not answered: see their errors"] if self.faults else []
        if self.answered + self.faults > 1 or self.cut or self.faults:
            self._errors.print("; ".join(told), highlight=False, soft_wrap=True)

    def _rate(self) -> str:
        return f"{self.answered / max(self._seconds, 1e-9):,.0f} a second"

    def _answer(self, rows: list[Asked]) -> None:
        faults = {one.row: one.fault for one in rows if one.fault}
        questions: dict[int, Question] = {
            one.row: one.question for one in rows if one.question is not None
        }
        found = self._ask(questions, faults)
        for one in rows:
            answer, base = found.get(one.row, (None, None))
            fault = faults.get(one.row) or ""
            self._writer.write(one, answer, base, fault)
            self.faults += bool(fault)
            self.answered += answer is not None
            self.cut += answer is not None and answer.cut

    def _ask(
        self, questions: dict[int, Question], faults: dict[int, str]
    ) -> dict[int, tuple[Answer, Answer | None]]:
        """Row → answers; rows that can't be asked go to `faults` and the others are asked."""
        begun = time.monotonic()
        try:
            found = self._asked_together(list(questions.values()))
            base = found.base or itertools.repeat(None, len(found.answers))
            return dict(zip(questions, zip(found.answers, base, strict=True), strict=True))
        except DataError:
            pass  # one of them can't be asked: each by itself tells which
        finally:
            self._seconds += time.monotonic() - begun
        fine: dict[int, Question] = {}
        for row, question in questions.items():
            fault = self._predictor.fault_of(self._adapter, question, self._limit)
            if fault is None:
                fine[row] = question
            else:
                faults[row] = fault
        if len(fine) == len(questions):
            raise DataError("the questions can't be asked together, though each can by itself.")
        return self._ask(fine, faults)

    def _asked_together(self, questions: list[Question]) -> Answers:
        if not questions:
            return Answers([])
        found = self._predictor.answer(
            self._adapter, questions, base=self._base, max_new_tokens=self._limit
        )
        self._base_reason = found.base_reason
        return found


def _together(asked: Iterator[Asked]) -> Iterator[list[Asked]]:
    """The rows that are answered together, one group after the other."""
    rows: list[Asked] = []
    most, characters = FIRST, 0
    for one in asked:
        rows.append(one)
        characters += len(str(one.question))
        if len(rows) == most or characters > CHARACTERS:
            yield rows
            rows, characters = [], 0
            most = min(2 * most, AT_ONCE)
    if rows:
        yield rows


def _asked(
    file: str | None, texts: tuple[str, ...], form: str | None, stack: ExitStack
) -> Iterator[Asked]:
    if texts:
        return iter([Asked(row, text) for row, text in enumerate(texts, start=1)])
    stream: BinaryIO = sys.stdin.buffer
    if file not in (None, "-"):
        path = Path(str(file))
        form = form or _ENDINGS.get(path.suffix.lower())
        try:
            stream = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror}.") from error
    return read_stream(stream, form or "text")


def _writer(
    stack: ExitStack, output: Path | None, form: str, *, base: bool
) -> tuple[AnswerWriter, TextIO]:
    """What writes the answers, and the stream that it writes to."""
    stream: TextIO = sys.stdout
    if output is not None:
        partial = beside(output)
        try:
            stream = partial.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise StorageError(f"{output} can't be written: {error.strerror}.") from error
        stack.push(lambda kind, *_: _finish(stream, partial, output, whole=kind is None))
    return (Table(stream, base=base) if form == "csv" else JsonLines(stream)), stream


def _finish(stream: TextIO, partial: Path, output: Path, *, whole: bool) -> bool:
    """Give the file its name, or take it away where it isn't whole."""
    try:
        stream.close()
        if whole:
            partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return False
