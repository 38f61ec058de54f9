"""Rows to tokens: done once for the same rows, task and tokenizer, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from tunesmith import tasks
from tunesmith.errors import DataError
from tunesmith.files.writing import mark_as_used, written_whole
from tunesmith.messages import say
from tunesmith.tasks.base import Example, Row
from tunesmith.tasks.results import first_rows
from tunesmith.training.stages import Encoded, Training

ENCODED_AT_ONCE = 1000
"""Rows tokenized in one call: the tokenizer keeps about 20 kB a row until the call ends."""
KEPT = "encoded"
"""Folder in the cache."""


def encode(work: Training, tokenizer: Any) -> Encoded:
    """Rows to tokens; rows whose target is lost to the length limit are left out, and said.

    Raises DataError where none is left to learn from.
    """
    fingerprint = _fingerprint(tokenizer)  # before it encodes: each call leaves settings in it
    train = list(work.data.train)
    encoded = _encoded(work, train, tokenizer, fingerprint)
    for said in _losses(work, "train", train, encoded):
        work.reporter.warning(said)
    kept = [(r, e) for r, e in zip(train, encoded, strict=True) if _learned(e)]
    others = {"validation": list(work.data.validation), "evaluation": list(work.data.evaluation)}
    judged = {side: _encoded(work, rows, tokenizer, fingerprint) for side, rows in others.items()}
    for side, rows in others.items():
        for said in _losses(work, side, rows, judged[side]):
            work.reporter.warning(said)
    if not kept:
        raise DataError(
            "every row is longer than data.max_length={limit} tokens before its "
            "answer begins; raise data.max_length.",
            limit=work.config.data.max_length,
        )
    return Encoded.after(
        work,
        tokenizer=tokenizer,
        train_rows=[row for row, _ in kept],
        train_examples=_numbered(work, kept),
        validation_examples=judged["validation"],
        eval_examples=judged["evaluation"],
    )


def _numbered(work: Training, kept: Sequence[tuple[Row, Example]]) -> list[Example]:
    """What is learned of the rows `kept`, with the number of its row's stratum as `stratum`."""
    numbers: dict[str, int] = {}
    found = []
    for row, example in kept:
        stratum = work.task.batch_stratum(row)
        number = numbers.setdefault(stratum, len(numbers))
        found += [{**one, "stratum": number} for one in _learned(example)]
    return found


def _learned(example: Example) -> list[Example]:
    """What is learned of a row: its example, after those of its earlier answers."""
    return [
        {name: value for name, value in part.items() if name != "earlier"}
        for part in _parts(example)
        if part["targets"]
    ]


def _losses(
    work: Training, side: str, rows: Sequence[Row], examples: Sequence[Example]
) -> Iterator[str]:
    """What the length limit, or the chat format, takes away from rows."""
    limit = work.config.data.max_length
    pairs = list(zip(rows, examples, strict=True))
    used = _learned if side == "train" else _judged
    if lost := [row for row, example in pairs if not used(example)]:
        yield say(
            "{n} of {n2} {side} rows are longer than data.max_length={limit} tokens "
            "up to their answer ({shown}); ",
            n=len(lost),
            n2=len(rows),
            side=side,
            limit=limit,
            shown=_shown(lost),
        ) + (say("they are not trained on.") if side == "train" else say("they count as wrong."))
    cut = [
        (row, example)
        for row, example in pairs
        if used(example) and any(part.get("lost_ends") for part in _parts(example, side))
    ]
    if cut:
        needed = max(part["length"] for _, example in cut for part in _parts(example, side))
        yield say(
            "{n} of {m} {kind} rows lose the end of an answer to "
            "data.max_length={limit} ({where}): {why}. Set data.max_length={needed} "
            "to keep all of them whole.",
            n=len(cut),
            m=len(rows),
            kind=side,
            limit=limit,
            where=_shown([row for row, _ in cut]),
            why=_without_ends(work, side, examples),
            needed=needed,
        )
    if left := [row for row, example in pairs if example.get("left_out")]:
        yield say(
            "the chat format rewrites earlier turns: of {n} of {m} {kind} rows only "
            "the last answer is compared ({where}).",
            n=len(left),
            m=len(rows),
            kind=side,
            where=_shown(left),
        )


def _without_ends(work: Training, side: str, examples: Sequence[Example]) -> str:
    """What it means that answers lose their end."""
    if side != "train":
        if work.task.judged_by_text:
            return say("they are judged by the whole answer")
        return say("they are judged by what is left of it")
    if any(part.get("kept_ends") for example in examples for part in _parts(example)):
        return say("the adapter can't learn from these answers when to stop")
    return say("the adapter won't learn to stop")


def _parts(example: Example, side: str = "train") -> list[Example]:
    """What of a row is used on that side: all of its examples, or the one it is judged by."""
    return [*example.get("earlier", ()), example] if side == "train" else [example]


def _judged(example: Example) -> bool:
    """Whether something of the answer that a row is judged by is left."""
    asked = example.get("prompt_length", 0)
    return bool(example["targets"]) and asked < len(example["input_ids"])


def _shown(rows: Sequence[Row]) -> str:
    """The numbers of the first of `rows`."""
    return say("rows {numbers}", numbers=first_rows([row.get("_row") for row in rows]))


def write_examples(file: Path, examples: Sequence[Mapping[str, Any]]) -> None:
    """Write encoded rows to `file`, one line of JSON each. Raises OSError where it can't be."""
    with file.open("w", encoding="utf-8") as stream:
        for example in examples:
            stream.write(json.dumps(example, default=_as_list) + "\n")


def read_examples(file: Path) -> list[Example]:
    """The rows that `write_examples` wrote. Raises OSError, and ValueError where it isn't JSON."""
    with file.open(encoding="utf-8") as stream:
        return [compact(json.loads(line)) for line in stream]


def compact(example: Example) -> Example:
    """The example with its lists of token ids held as 4-byte numbers."""
    return {name: _compact(value) for name, value in example.items()}


def _compact(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        return value
    if isinstance(value[0], dict):
        return [compact(part) for part in value]
    return array("i", value) if isinstance(value[0], int) else value


def _as_list(value: Any) -> list[int]:
    """Token ids as JSON has them."""
    if isinstance(value, array):
        return value.tolist()
    raise TypeError(f"a task's encoded row holds a {type(value).__name__}, which JSON doesn't have")


def _encoded(
    work: Training, rows: Sequence[Row], tokenizer: Any, fingerprint: bytes | None
) -> list[Example]:
    """`rows` as tokens: those of the cache, where the same were encoded before.

    `fingerprint` is all that decides how the tokenizer encodes.
    """
    file = None
    if work.cache is not None and rows and fingerprint is not None:
        file = work.cache / KEPT / f"{_key(work, rows, fingerprint)}.jsonl"
    if file is not None and file.exists():
        with suppress(OSError, ValueError):
            facts, *examples = read_examples(file)
            if len(examples) == len(rows):
                work.task.restore(facts)
                mark_as_used(file)
                return examples
    examples = [
        compact(example)
        for start in range(0, len(rows), ENCODED_AT_ONCE)
        for example in work.task.encode(
            rows[start : start + ENCODED_AT_ONCE],
            tokenizer,
            work.config.data.max_length,
        )
    ]
    if file is not None:
        with suppress(OSError):  # a cache that can't be written costs time, and nothing else
            _keep(file, [work.task.facts(), *examples])  # a task may learn from what it encodes
    return examples


def _keep(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial:
        write_examples(partial, lines)


def _key(work: Training, rows: Sequence[Row], tokenizer: bytes) -> str:
    """Whatever the tokens depend on, as one hash."""
    digest = hashlib.sha256(tokenizer)
    described = {
        "task": work.config.model_dump(mode="json")["task"],
        "facts": work.task.facts(),
        "columns": work.task.columns,
        "limit": work.config.data.max_length,
        "versions": [tokenizers.__version__, transformers.__version__, _code()],
    }
    digest.update(json.dumps(described, sort_keys=True, default=str).encode())
    for row in rows:
        digest.update(b"\n" + json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


def _fingerprint(tokenizer: Any) -> bytes | None:
    """All that decides how `tokenizer` encodes; None where code of its own does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        return None
    around = (
        tokenizer.chat_template, tokenizer.special_tokens_map, tokenizer.model_input_names,
        tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side,
    )  # fmt: skip
    return f"{type(tokenizer)}\n{backend.to_str()}\n{around}".encode()


@cache
def _code() -> str:
    """A hash of the tasks' own code."""
    digest = hashlib.sha256()
    for file in sorted(Path(str(tasks.__file__)).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
