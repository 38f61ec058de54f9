"""Every rule and detector takes a time that grows with the text alone, whatever stands in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.data.analysis.summary import analyze
from tunesmith.data.checking.tables import check_tables
from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.rows import number_rows
from tunesmith.errors import DataError
from tunesmith.messages import Message
from tunesmith.messages.catalogues import translated
from tunesmith.tasks import TASKS
from tunesmith.tasks.parts.columns import PLACEHOLDER
from tunesmith.tasks.parts.entities import words_of
from tunesmith.ui import markdown

SIZE = 500_000
LIMIT = 3.0
"""Seconds of processor time for half a million bytes; what is linear takes a tenth of it."""

PIECES = {
    "digits": "1",
    "digits apart": "1 2 ",
    "dates": "12/34-",
    "bare numbers": "2125551234 x",
    "an address begun": "a.",
    "at signs": "a@",
    "an address without end": "a@b.",
    "a domain": "@a-",
    "percents": "%",
    "spaces": " ",
    "line breaks": "\n",
    "mixed spaces": " \t\u3000",
    "tags": "<",
    "tags begun": "<a ",
    "attributes": "<a b='",
    "attributes of two quotes": "<a \"'",
    "comments": "<!--",
    "scripts": "<script>",
    "doctypes": "<!doctype ",
    "entities": "&#",
    "entities of letters": "&amp",
    "quotes": '"',
    "brackets": "[{",
    "placeholders": "{a",
    "a chat begun": '[{"role":',
    "tokens": "eyJ",
    "a token's dots": "eyJa.",
    "an npm token": "//a:_authToken=",
    "passwords": "://a:",
    "slack": "xoxb-1-",
    "aws": "aws key ",
    "cloud": "ibm_cloud_iam_key ",
    "secrets' letters": "Aa1_-+/=",
    "pypi": "pypi-AgEIcHlwaS5vcmc",
    "openai": "sk-A",
    "mojibake": "Ã©",
    "more mojibake": "â€",
    "wrong bytes": "\x80\x9f",
    "lost characters": "\ufffd",
    "control characters": "\x00\x1b",
    "marks": "a\u0301",
    "marks alone": "\u0301",
    "ligatures": "\ufdfa",
    "capitals": "\u0130\u00df",
    "marks of direction": "\u202e",
    "han": "\u6f22",
    "thai": "\u0e01\u0e33",
    "hangul": "\u1100",
    "emoji": "\U0001f469\u200d",
    "words": "a ",
    "dashes": "-",
    "dots": ".",
}
CELLS = {name: piece * (SIZE // len(piece.encode())) for name, piece in PIECES.items()}


def table_of(cell: str) -> dict[str, pa.Table]:
    table = pa.table({"text": [cell, "some words"], "label": ["a", "b"]})
    return {"train": number_rows(table)}


def hold_against_rules(cell: str, task_name: str, **columns: str) -> None:
    task: Any = TASKS[task_name]
    with contextlib.suppress(DataError):
        check_tables(table_of(cell), bound(task(task.Options()), columns), ValidationRules())


def analyze_rows(cell: str) -> None:
    analyze(
        table_of(cell),
        text_columns=["text"],
        label_column="label",
        token_counts=None,
        max_length=None,
    )


def read_as(kind: str, cell: str) -> None:
    data = bytearray(f"text,label\n{cell},x\n".encode())
    if kind == ".jsonl":
        data = bytearray(f'{{"text": "{cell}"}}\n{{"text": {cell}}}\n'.encode())
    with TemporaryDirectory() as folder, contextlib.suppress(DataError):
        path = Path(folder) / f"x{kind}"
        path.write_bytes(data)
        read_file(path)


LOOKS: dict[str, Callable[[str], object]] = {
    "every rule for a text": partial(
        hold_against_rules, task_name="text-classification", text="text", label="label"
    ),
    "every rule for a chat": partial(hold_against_rules, task_name="sft", messages="text"),
    "every rule for tags": partial(
        hold_against_rules, task_name="token-classification", tokens="text", tags="label"
    ),
    "analysis": analyze_rows,
    "CSV": partial(read_as, ".csv"),
    "JSON Lines": partial(read_as, ".jsonl"),
    "placeholders": PLACEHOLDER.findall,
    "words": lambda cell: words_of(cell[: SIZE // 10]),
    "what a page shows": lambda cell: markdown.as_it_is(cell[: SIZE // 10]),
    "templates": lambda cell: translated(Message(cell, cell[: SIZE // 10], {}), "zh_TW"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_half_a_megabyte_in_one_cell_takes_no_longer_whatever_it_is(look: str) -> None:
    slow = {}
    for name, cell in CELLS.items():
        begun = time.process_time()
        LOOKS[look](cell)
        if (took := time.process_time() - begun) > LIMIT:
            slow[name] = round(took, 1)
    assert slow == {}
