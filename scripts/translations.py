"""Brings the catalogues of the web page up to date with its texts: `make translations`.

Texts are those in `_("…")`, `N_("…", …)` and `translate_number("…", "…", n)`, and the
descriptions of the fields of the configuration. What has no translation yet is listed; exit code 1
while there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from tunesmith.config.presets import presets
from tunesmith.config.schema import ExperimentConfig
from tunesmith.tasks import TASKS

UI = Path(__file__).parents[1] / "src" / "tunesmith" / "ui"
LOCALE = UI / "locale"
MARKS = ("_", "translate_number")
"""Functions whose arguments are texts: one, or one for one thing and one for several."""

LISTS = "N_"
"""The function whose arguments are texts of their own."""


def texts() -> Catalog:
    """Every text of the page, in English."""
    catalogue = Catalog(project="Tunesmith", copyright_holder="Tunesmith contributors")
    for path in sorted(UI.rglob("*.py")):
        for found in marked(ast.parse(path.read_text(encoding="utf-8"))):
            catalogue.add(found[0] if len(found) == 1 else found)
    for text in descriptions():
        catalogue.add(text)
    return catalogue


def marked(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """The texts of a module, also those within f-strings, where Babel's own search finds none."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        texts = tuple(str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))
        if node.func.id == LISTS:
            yield from ((text,) for text in texts)
        elif node.func.id in MARKS and texts:
            yield texts


def descriptions() -> Iterator[str]:
    """What fields, tasks and presets are described by."""
    for schema in (
        ExperimentConfig.model_json_schema(),
        *(task.Options.model_json_schema() for task in TASKS.values()),
    ):
        yield from _described(schema)
    yield from (task.summary for task in TASKS.values())
    yield from (preset.description for preset in presets().values() if preset.description)


def _described(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "properties":
                for field in inner.values():
                    if isinstance(field.get("description"), str):
                        yield field["description"]
            yield from _described(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _described(inner)


def missing(catalogue: Catalog) -> list[str]:
    """The texts that have no translation."""
    return [str(message.id) for message in catalogue if message.id and not _whole(message.string)]


def _whole(string: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(string) and (isinstance(string, str) or all(string or ()))


def main() -> int:
    """Write every catalogue anew; returns the exit code."""
    template = texts()
    untranslated = 0
    for path in sorted(LOCALE.glob("*.po")):
        with path.open("rb") as stream:
            catalogue = read_po(stream, locale=path.stem)
        since = catalogue.creation_date  # a new time each day would be in the way of every merge
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.creation_date = since
        catalogue.obsolete.clear()
        with path.open("wb") as stream:
            write_po(stream, catalogue, width=100, sort_output=True, no_location=True)
        left = missing(catalogue)
        untranslated += len(left)
        print(f"{path.name}: {len(catalogue) - len(left)} of {len(catalogue)} texts translated")
        for text in left:
            print(f"  {text}")
    return 1 if untranslated else 0


if __name__ == "__main__":
    sys.exit(main())
