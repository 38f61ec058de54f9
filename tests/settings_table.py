"""Writes the table of all settings into docs/operations.md, as `settings` has them."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunesmith.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN = "<!-- settings: made by python -m tests.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """Variable, default and meaning of every setting, as Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    meanings = _meanings()
    for name, field in Settings.model_fields.items():
        meaning = " ".join(meanings[name].split())
        rows.append(f"| `{field.validation_alias}` | {_shown(field.default)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _meanings() -> dict[str, str]:
    """Field of the settings → the text below it in the code."""
    kinds = [kind for kind in Settings.__mro__ if kind.__module__.startswith("tunesmith.")]
    classes = [ast.parse(inspect.getsource(kind)).body[0] for kind in kinds]
    return {
        ast.unparse(field.target): ast.literal_eval(text.value)
        for found in classes
        if isinstance(found, ast.ClassDef)
        for field, text in pairwise(found.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def with_table(page: str) -> str:
    """`page` with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default}`".replace(str(Path.home()), "~")


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
