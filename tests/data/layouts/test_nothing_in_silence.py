"""Whatever stands in a row is used, named as not used, or refused with its row; never none of them.

Rows of every layout get a column, a key or a part more, with a marker in its value. The marker must
come out in what the task reads, or its name among what is not used, or its row among the findings.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.data.layouts.laid import table, task

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import examine
from tunesmith.data.sources import Source
from tunesmith.errors import ConfigError, DataError
from tunesmith.values import canonical

Rows = list[dict[str, Any]]
MARK = "zq7mark"
NAMES = ("id", "source", "lang", "meta", "name", "_id", "category", "score", "notes", "來源", "url",
         "system", "tools", "input", "weight2", "image", "audio", "type")  # fmt: skip
VALUES: tuple[Any, ...] = (MARK, [MARK], {"deep": MARK}, f"7 {MARK}")


def said(n: int, role: str, name: str = "role", text: str = "content") -> dict[str, Any]:
    return {name: role, text: f"Words number {n} of {role}"}


def chats(column: str, roles: tuple[str, str], *keys: str) -> Callable[[], Rows]:
    return lambda: [{column: [said(n, role, *keys) for role in roles]} for n in range(4)]


def columns(*names: str, **fixed: Any) -> Callable[[], Rows]:
    return lambda: [
        {name: f"Words {n} of {name}" for name in names} | fixed | {"n": n} for n in range(4)
    ]


def tagged() -> Rows:
    return [{"text": f"Ann saw it {n}", "spans": [{"start": 0, "end": 3, "label": "P"}]}
            for n in range(4)]  # fmt: skip


def classes() -> Rows:
    return [{"text": f"Words number {n}", "label": "ab"[n % 2]} for n in range(4)]


BASES: dict[str, tuple[str, Callable[[], Rows]]] = {
    "alpaca": ("sft", columns("instruction", "input", "output")),
    "earlier turns": ("sft", columns("instruction", "output", "system", history=[["a", "b"]])),
    "swift": ("sft", columns("query", "response", "system")),
    "pairs": ("sft", columns("question", "answer", "context")),
    "prompts": ("sft", columns("prompt", "completion")),
    "sharegpt": ("sft", chats("conversations", ("human", "gpt"), "from", "value")),
    "openai": ("sft", chats("messages", ("user", "assistant"))),
    "developer": ("sft", chats("messages", ("developer", "user", "assistant"))),  # type: ignore[arg-type]
    "preferences": ("dpo", columns("prompt", "chosen", "rejected")),
    "chats preferred": ("dpo", lambda: [
        {"prompt": [said(n, "user")], "chosen": [said(n, "assistant")],
         "rejected": [{**said(n, "assistant"), "content": "no"}]} for n in range(4)
    ]),
    "classes": ("text-classification", classes),
    "spans": ("token-classification", tagged),
}  # fmt: skip


def add_column(rng: random.Random, row: dict[str, Any]) -> str | None:
    name = rng.choice([name for name in NAMES if name not in row])
    row[name] = rng.choice(VALUES)
    return name


def add_key(rng: random.Random, row: dict[str, Any]) -> str | None:
    """A key more in an object of a list, such as a turn or a span."""
    objects = [each for value in row.values() if isinstance(value, list) for each in value
               if isinstance(each, dict)]  # fmt: skip
    if not objects:
        return None
    chosen = rng.choice(objects)
    name = rng.choice([name for name in NAMES if name not in chosen])
    chosen[name] = rng.choice(VALUES)
    return name


def add_part(rng: random.Random, row: dict[str, Any]) -> str | None:
    """A part more in a content, or a key more in a part."""
    turns = [each for value in row.values() if isinstance(value, list) for each in value
             if isinstance(each, dict) and "content" in each]  # fmt: skip
    if not turns:
        return None
    turn = rng.choice(turns)
    kind = rng.choice(("image_url", "input_audio", "text", "odd"))
    parts = [{"type": "text", "text": turn["content"]}]
    if rng.random() < 0.5:
        parts.append({"type": kind, "text" if kind == "text" else "payload": MARK})
    else:
        parts[0]["cache"] = MARK
        kind = "cache"
    turn["content"] = parts
    return kind


def outcome(rows: Rows, learned: str, name: str) -> str:
    one = task(learned)
    source = Source("rows", "file", {"train": table(*rows)}, "rows")
    try:
        found = examine(DataConfig(dataset_name="rows"), one, source, compare=False)
    except (DataError, ConfigError):
        return "refused"
    report, kept = found.checked.report, found.checked.tables["train"]
    if MARK in canonical(kept.select(one.read_columns()).to_pylist()):
        return "used"
    if any(name in each.name for each in report.usage.unused):
        return "named"
    if 1 in report.table["row"].to_list():
        return "refused"
    return f"in silence: {report.usage.lines()}"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("add", [add_column, add_key, add_part])
def test_nothing_that_stands_in_a_row_is_passed_over(
    base: str, add: Callable[[random.Random, dict[str, Any]], str | None]
) -> None:
    learned, make = BASES[base]
    rng = random.Random(f"{base} {add.__name__}")
    outcomes = set()
    for _ in range(6):
        rows = make()
        name = add(rng, rows[0])
        if name is None:
            return
        if rng.random() < 0.3:  # the same as JSON text, as in a CSV
            rows = [
                {key: json.dumps(value) if isinstance(value, list) else value
                 for key, value in row.items()}
                for row in rows
            ]  # fmt: skip
        try:
            table(*rows)
        except pa.ArrowException:
            continue
        outcomes.add((outcome(rows, learned, name), name))
    assert not [each for each in outcomes if each[0].startswith("in silence")]
