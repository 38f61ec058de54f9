"""The house stays one to live in: rooms of few files, files that one can read at a sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import tunesmith

HOUSE = Path(tunesmith.__file__).parent
MOST_FILES, MOST_LINES, LONGEST_FUNCTION = 15, 400, 60


def test_no_folder_holds_more_files_than_one_overlooks() -> None:
    folders = {HOUSE, *(path.parent for path in HOUSE.rglob("*.py"))}
    counts = {str(folder.relative_to(HOUSE)): len([*folder.glob("*.py")]) for folder in folders}
    assert {name: n for name, n in counts.items() if n > MOST_FILES} == {}


def test_no_file_and_no_function_is_longer_than_one_reads_at_a_sitting() -> None:
    files, functions = {}, {}
    for path in HOUSE.rglob("*.py"):
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(HOUSE))
        if (lines := text.count("\n")) > MOST_LINES:
            files[name] = lines
        if "migrations" in path.parts:  # they say once what a database was, and stay as they are
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    functions[f"{name}: {node.name}"] = length
    assert (files, functions) == ({}, {})
