"""Every language says everything: the code is walked for texts, and for texts built around them."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.pofile import read_po

import tunesmith
from tunesmith import errors
from tunesmith.messages.catalogues import FOLDER

SOURCE = Path(tunesmith.__file__).parent
SCRIPT = Path(__file__).parents[2] / "scripts" / "translations.py"
ENGLISH_ONLY = {"{s}", "{verb}", "{kind}"}
"""Places that hold no more than an English ending or word."""

ERRORS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TunesmithError)
} - {"ConfigError"}
"""Kinds of errors whose first argument is what is said."""


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    """The script that keeps the catalogues."""
    spec = importlib.util.spec_from_file_location("translations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forms(text: object) -> list[str]:
    return [text] if isinstance(text, str) else list(text or ())  # type: ignore[call-overload]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.po")), ids=lambda path: path.stem)
def test_every_text_is_translated_with_its_placeholders(
    path: Path, translations: ModuleType
) -> None:
    with path.open("rb") as stream:
        catalogue = read_po(stream, locale=path.stem)
    known = {message.id for message in catalogue if message.id}
    assert {message.id for message in translations.texts() if message.id} == known
    assert translations.missing(catalogue) == []
    for message in catalogue:
        if message.id:
            wanted = set(re.findall(r"\{\w*\}", forms(message.id)[-1]))
            for found in (set(re.findall(r"\{\w*\}", each)) for each in forms(message.string)):
                assert wanted - ENGLISH_ONLY <= found <= wanted, message.id


def said(collected: frozenset[str]) -> Iterator[tuple[str, ast.expr]]:
    """What the code says to people, with its place: of errors, and of problems.

    A template that the catalogues have from the error itself (`collected`) is a message.
    """
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            place = f"{path.relative_to(SOURCE)}:{node.lineno}"
            is_template = (
                isinstance(node.func, ast.Name)
                and name in collected
                and isinstance(node.args[0] if node.args else None, ast.Constant)
            )
            if name in ERRORS and node.args and not is_template:
                yield place, node.args[0]
            if name == "Problem":
                named = [
                    each.value for each in node.keywords if each.arg in ("message", "accepted")
                ]
                for each in (*node.args[1:2], *node.args[3:4], *named):
                    yield place, each


def built(text: ast.expr) -> bool:
    """Whether a text is written out there instead of being a message."""
    if isinstance(text, ast.JoinedStr):
        return True
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        return re.search(r"[a-z]{2,} [a-z]{2,}", text.value) is not None
    if isinstance(text, ast.BinOp):
        return built(text.left) or built(text.right)
    if isinstance(text, ast.IfExp):
        return built(text.body) or built(text.orelse)
    return isinstance(text, ast.BoolOp) and any(map(built, text.values))


def test_what_is_said_to_people_is_a_message(translations: ModuleType) -> None:
    assert [place for place, text in said(translations.ERRORS) if built(text)] == []


def test_templates_are_written_out_where_they_are_used(translations: ModuleType) -> None:
    """A template that is put together as it runs would be in no catalogue."""
    odd = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            values = {each.arg for each in node.keywords} - {"err", "label", "nl", "yes"}
            if node.func.id in translations.MESSAGES or (
                node.func.id in translations.PRINTING and values
            ):
                number = translations.MARKS[node.func.id]
                odd += [
                    f"{path.relative_to(SOURCE)}:{node.lineno}"
                    for each in node.args[:number]
                    if isinstance(each, ast.JoinedStr | ast.BinOp)
                ]
    assert odd == []


NO_SENTENCE = re.compile(
    r"(not |bold|dim|strike|italic|cyan|green|red|yellow|\s)+"  # a style of rich
    r"|.*\b(tunesmith|experiments|sweeps) [a-z]+ ?"  # a command
    r"|.*(import \w+|tokenizer|providers=).*"  # Python code for who uses an export
    r"|Tunesmith experiment | on held-out rows|, a LoRA adapter merged into ",  # GGUF's metadata
    re.DOTALL,
)
"""Words one after the other that are no English sentence, or no text for the terminal."""

SILENT = ("ValueError", "TypeError", "RuntimeError", "AssertionError", "debug", "info", "warning")
"""Functions whose texts nobody is shown: errors of ours, and logs of services."""


def english(tree: ast.AST, spared: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Texts of a module with their lines; not docstrings, nor what functions `spared` are given."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in spared:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        yield from english(node, spared)


@pytest.mark.parametrize("room", ["cli", "serving/exporters"])
def test_no_english_sentence_stands_outside_of_the_catalogues(
    room: str, translations: ModuleType
) -> None:
    known = {forms(message.id)[0] for message in translations.texts() if message.id}
    spared = frozenset({*translations.MARKS, *translations.ERRORS, *SILENT, translations.LISTS})
    helps = inspect.cleandoc("\n".join(translations.helps(translations.app)))
    odd = [
        f"{path.relative_to(SOURCE)}:{line} {text[:60]!r}"
        for path in sorted((SOURCE / room).rglob("*.py"))
        for line, text in english(ast.parse(path.read_text(encoding="utf-8")), spared)
        if re.search(r"[a-z]{2,},? [a-z]{2,}", text)
        and inspect.cleandoc(text) not in known
        and " ".join(text.split()) not in " ".join(helps.split())
        and not NO_SENTENCE.fullmatch(text)
    ]
    assert odd == []
