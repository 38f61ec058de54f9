"""Brings the catalogues up to date with what the code says: `make translations`.

Texts are those in `say("…")`, `DataError("…")` and our other errors, `gettext("…")`, `_("…")`,
`N_("…", …)`, their forms for plurals, and headings of tables; the descriptions of the fields of the
configuration; the help of the command, and what click itself says. What has no translation yet is
listed; exit code 1 while there is any. With `--check`, as `make lint` has it, nothing is written,
and a catalogue that isn't up to date gives exit code 1 too.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.main import app
from tunesmith.config.presets import presets
from tunesmith.config.rules import RULES
from tunesmith.config.schema import ExperimentConfig
from tunesmith.messages import catalogues
from tunesmith.messages.catalogues import FOLDER
from tunesmith.messages.message import bare
from tunesmith.serving.exporters import EXPORTERS
from tunesmith.tasks import TASKS

SOURCE = Path(__file__).parents[1] / "src" / "tunesmith"
_SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
MARKS = {
    "_": 1,
    "Column": 1,
    "confirm": 1,
    "echo": 1,
    "gettext": 1,
    "ngettext": 2,
    "say": 1,
    "say_plural": 2,
    "translate_number": 2,
}
"""Functions whose first arguments are texts: one, or one for one thing and one for several."""

MESSAGES = ("gettext", "ngettext", "say", "say_plural")
"""Those whose texts are templates, which catalogues have `bare`."""

PRINTING = ("confirm", "echo")
"""Those that take a template with values, or a text alone; click has others of their names."""

ERRORS = frozenset(re.findall(r"^class (\w+)\((?:\w*Error)\)", _SOURCES, re.MULTILINE))
"""Our own errors, whose first argument is a template."""

LISTS = "N_"
"""The function whose arguments are texts of their own."""


def texts() -> Catalog:
    """Every text that people read, in English."""
    catalogue = Catalog(project="Tunesmith", copyright_holder="Tunesmith contributors")
    for path in sorted(SOURCE.rglob("*.py")):
        for found in marked(ast.parse(path.read_text(encoding="utf-8"))):
            _add(catalogue, found)
    for path in sorted(Path(click.__file__).parent.glob("*.py")):
        for found in marked(ast.parse(path.read_text(encoding="utf-8")), bared=()):
            _add(catalogue, found)
    for text in ("English", "required", *descriptions(), *helps(app)):
        _add(catalogue, (text,))
    for text in catalogues.MARKS:
        catalogue.add(text)
    return catalogue


def helps(command: click.Command) -> Iterator[str]:
    """What `command`, its options and its own commands are described by."""
    texts = [command.help, command.short_help]
    texts += [each.help for each in command.params if isinstance(each, click.Option)]
    yield from (inspect.cleandoc(text) for text in texts if text)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from helps(inner)
    if isinstance(command, LazyCommand):
        yield from helps(command.load())


def _add(catalogue: Catalog, found: tuple[str, ...]) -> None:
    """Add a text; one that is known with its plural isn't added without."""
    if not any(re.search(r"[^\W\d_]", re.sub(r"\{\w*\}", "", text)) for text in found):
        return  # a template without words is the same in every language
    if len(found) == 2 or found[0] not in catalogue:
        catalogue.add(found[0] if len(found) == 1 else found)


def marked(tree: ast.AST, bared: Sequence[str] = MESSAGES) -> Iterator[tuple[str, ...]]:
    """The texts of a module, also those within f-strings, where Babel's own search finds none.

    The functions `bared` take templates, which catalogues have without formats of numbers.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", "")
        if name in PRINTING and not bared:
            continue  # click's own
        if isinstance(node.func, ast.Attribute) and node.func.attr == "say":
            name = "say"  # a terminal's
        first = next((str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)), "")
        is_parent = isinstance(node.func, ast.Attribute) and node.func.attr == "__init__"
        is_error = name in ERRORS or (is_parent and "{" in first)  # an error's own template
        arguments = node.args if name == LISTS else node.args[: MARKS.get(name, int(is_error))]
        texts = tuple(
            str(arg.value)
            for arg in arguments
            if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        )
        if name == LISTS:
            yield from ((text,) for text in texts)
        elif texts:
            is_template = is_error or name in (*bared, *PRINTING)
            yield tuple(map(bare, texts)) if is_template else texts


def descriptions() -> Iterator[str]:
    """What fields, tasks, rules, exporters and presets are described by."""
    for schema in (
        ExperimentConfig.model_json_schema(),
        *(task.Options.model_json_schema() for task in TASKS.values()),
    ):
        yield from _described(schema)
    for task in TASKS.values():
        yield from (task.label, task.summary, *(metric.label for metric in task.metrics))
    yield from (rule.label for rule in RULES.values())
    for exporter in EXPORTERS.values():
        yield from (exporter.summary, *(option.help for option in exporter.options))
        if not exporter.formats:
            yield exporter.usual_format
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


def main(*, check: bool) -> int:
    """Write every catalogue anew, or with `check` see whether it need be; returns the exit code."""
    template = texts()
    wrong = 0
    for path in sorted(FOLDER.glob("*.po")):
        with path.open("rb") as stream:
            catalogue = read_po(stream, locale=path.stem)
        since = catalogue.creation_date  # a new time each day would be in the way of every merge
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.creation_date = since
        catalogue.obsolete.clear()
        written = io.BytesIO()
        write_po(written, catalogue, width=100, sort_output=True, no_location=True)
        if check and written.getvalue() != path.read_bytes():
            print(f"{path.name} is not up to date: make translations")
            wrong += 1
        elif not check:
            path.write_bytes(written.getvalue())
        left = missing(catalogue)
        wrong += len(left)
        print(f"{path.name}: {len(catalogue) - len(left)} of {len(catalogue)} texts translated")
        for text in left:
            print(f"  {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
