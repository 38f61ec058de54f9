"""`tunesmith predict`: ask an experiment's adapter one text, a file, or a stream without end."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import gettext
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.console.usable import USABLE, find_usable
from tunesmith.config.schema import DataConfig
from tunesmith.config.yaml import read_draft
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.versions.store import Versions
from tunesmith.errors import ConfigError, DataError, Problem, StorageError
from tunesmith.experiments.datasets.importing import NO_MODEL
from tunesmith.files.writing import written_whole
from tunesmith.messages import say
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.predictor import Answers, Predictor, Question
from tunesmith.serving.streams import FORMATS, Asked, ObjectLines, Table, read_stream, read_table
from tunesmith.settings import Settings
from tunesmith.store.store import Store
from tunesmith.tasks.results import UNSURE, Answer

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
@click.argument("assignments", metavar="[data.FIELD=VALUE]...", nargs=-1)
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
@click.option(
    "--unsure", is_flag=True,
    help="Answer also what isn't sure enough for what the adapter promises.",
)  # fmt: skip
@click.option("--device", help="cpu, cuda, cuda:N or mps; left out: the best one here.")
def predict(
    reference: str,
    file: str | None,
    assignments: tuple[str, ...],
    texts: tuple[str, ...],
    input_format: str | None,
    form: str,
    output: Path | None,
    base: bool,
    max_new_tokens: int | None,
    unsure: bool,
    device: str | None,
) -> None:
    """Ask the adapter of an experiment, or a version of a registered one.

    FILE holds a text a line, or rows in any format, folder, archive, query or version (reviews@3)
    that can be trained on, with the columns that it was trained on (for chats, a column messages);
    - is standard input. What it was trained on is read as it was then; data.format, data.encoding,
    data.delimiter, data.header and data.sheet say how another file is read. A row that can't be
    answered gets its error, and the others their answers; then the exit code is 2.
    """
    if (file is None) == (not texts):
        raise click.UsageError(
            gettext("give --text, a FILE, or - for standard input: one of them.")
        )
    settings = Settings.read()
    errors = Terminal(stderr=True, soft_wrap=True)
    with Store(settings.store_url) as store:
        experiment, version = find_usable(reference, store, errors)
    weights = None if version is None else version.weights_hash
    adapter = locate_adapter(experiment, settings, weights)
    with ExitStack() as stack:
        if file in (None, "-"):
            asked = _stream(texts, sys.stdin.buffer, input_format)
        else:
            request = _request(str(file), assignments, adapter)
            asked = _rows(request, input_format, settings, stack)
        predictor = Predictor(settings, device=device)
        writer, stream = _writer(stack, output, form, base=base)
        work = _Work(predictor, adapter, writer, stream, base, max_new_tokens, unsure, errors)
        work.run(asked)
    work.summarize()
    if work.faults:
        sys.exit(DataError.exit_code)


@dataclass
class _Work:
    """One call of the command: what is asked, answered and counted."""

    _predictor: Predictor
    _adapter: SavedAdapter
    _writer: ObjectLines | Table
    _stream: TextIO
    _base: bool
    _limit: int | None
    _with_unsure: bool
    _errors: Terminal
    _seconds = 0.0
    _base_reason: str | None = None
    answered = cut = unsure = faults = 0

    def run(self, asked: Iterator[Asked]) -> None:
        """Answer everything, some rows at a time."""
        with self._errors.status(gettext("loading the model")) as status:
            if self._stream.isatty():  # answers and a status on one terminal would mix
                status.stop()
            for rows in _together(asked):
                self._answer(rows)
                self._stream.flush()
                status.update(self._so_far())

    def summarize(self) -> None:
        """Say on standard error what there is to say of all of them."""
        if self._base_reason:
            self._errors.say("note: {base_reason}", base_reason=self._base_reason)
        parts = [self._so_far()]
        if self.cut:
            parts.append(gettext("{cut:,} cut because they were too long", cut=self.cut))
        if self.unsure:
            parts.append(gettext("{unsure:,} not sure enough", unsure=self.unsure))
        if self.faults:
            parts.append(gettext("{faults:,} not answered: see their errors", faults=self.faults))
        if self.answered + self.faults > 1 or self.cut or self.unsure or self.faults:
            self._errors.print("; ".join(parts))

    def _so_far(self) -> str:
        each = self.answered / max(self._seconds, 1e-9)
        rate = gettext("{answered:,.0f} a second", answered=each)
        return gettext("{answered:,} answered, {rate}", answered=self.answered, rate=rate)

    def _answer(self, rows: list[Asked]) -> None:
        faults = {one.row: one.fault for one in rows if one.fault}
        questions = {one.row: one.question for one in rows if one.question is not None}
        found = self._ask(questions, faults)
        for one in rows:
            answer, base = found.get(one.row, (None, None))
            fault = faults.get(one.row) or ""
            self._writer.write(one, answer, base, fault)
            self.faults += bool(fault)
            self.answered += answer is not None
            self.cut += answer is not None and answer.cut
            self.unsure += answer is not None and answer.reason == UNSURE

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
            pass  # one of them can't be asked: asking each alone shows which
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
            self._adapter,
            questions,
            base=self._base,
            max_new_tokens=self._limit,
            unsure=self._with_unsure,
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


def _request(file: str, assignments: Sequence[str], adapter: SavedAdapter) -> DataConfig:
    """What is asked, and how it is read: as in training, where it is what was learned from.

    Raises ConfigError for what can't be set.
    """
    trained = adapter.read_config().data
    same = Path(file).resolve() == Path(trained.dataset_name).resolve()
    options = ReadingOptions.of(trained).given() if same else {}
    known = [f"data.{field.name}" for field in fields(ReadingOptions)]
    if wrong := [text for text in assignments if text.partition("=")[0] not in known]:
        raise ConfigError(
            Problem(text, say("can't be set here"), accepted=", ".join(known)) for text in wrong
        )
    base = {"model": {"name": NO_MODEL}, "data": options | {"dataset_name": file}}
    return read_draft(base, None, assignments).config().data


def _rows(
    request: DataConfig, form: str | None, settings: Settings, stack: ExitStack
) -> Iterator[Asked]:
    path = Path(request.dataset_name)
    versions = Versions(settings.datasets_root)
    if form is None and (rows := read_table(request, versions=versions)) is not None:
        return rows
    try:
        stream = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise DataError(
            "{path} can't be read: {error}.", path=path, error=error.strerror
        ) from error
    return read_stream(stream, form or _ENDINGS.get(path.suffix.lower(), "text"))


def _stream(texts: tuple[str, ...], stream: BinaryIO, form: str | None) -> Iterator[Asked]:
    if texts:
        return iter([Asked(row, text) for row, text in enumerate(texts, start=1)])
    return read_stream(stream, form or "text")


def _writer(
    stack: ExitStack, output: Path | None, form: str, *, base: bool
) -> tuple[ObjectLines | Table, TextIO]:
    """What writes the answers, and the stream that it writes to."""
    stream: TextIO = sys.stdout
    if output is not None:
        partial = stack.enter_context(written_whole(output))
        try:
            stream = stack.enter_context(partial.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            raise StorageError(
                "{target} can't be written: {error}.", target=output, error=error.strerror
            ) from error
    return (Table(stream, base=base) if form == "csv" else ObjectLines(stream)), stream
