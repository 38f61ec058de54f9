"""Code and documents use the field's words: phrases of a private dialect don't come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = sorted(
    path
    for pattern in ("src/tunesmith/**/*.py", "docs/*.md", "README.md", "CONTRIBUTING.md")
    for path in ROOT.glob(pattern)
)
INSTEAD = {
    r"\btold\b": "what is meant: said, shown, sent, known, listed, distinguished …",
    r"\bthe way back\b": "the backward pass",
    r"\bsigns? of life\b": "a heartbeat",
    r"\bmade[ -]up\b(?! of\b| for\b)": "synthetic inputs, an invented name",
    r"\bbelow each other\b": "stacked",
    r"\bdemanded\b": "the promotion rule",
    r"\bit was seen that\b": "what was measured, with its figure",
}


@pytest.mark.parametrize("phrase", INSTEAD)
def test_what_the_field_has_a_word_for_is_called_by_it(phrase: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(phrase, line, re.IGNORECASE)
    ]
    assert not found, f"say instead {INSTEAD[phrase]}:\n" + "\n".join(found)
