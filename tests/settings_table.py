"""Writes the table of all settings into docs/operations.md, as `settings` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN = "<!-- settings: made by python -m tests.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """Variable, default and meaning of every setting, as Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for field in Settings.model_fields.values():
        meaning = " ".join(str(field.description).split())
        rows.append(f"| `{field.validation_alias}` | {_shown(field.default)} | {meaning} |")
    return "\n".join(rows) + "\n"


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
