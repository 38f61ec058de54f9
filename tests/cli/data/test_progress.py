"""How far long work is, is said where output is no terminal too."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.data.conftest import Run
from tests.conftest import write_reviews

from tunesmith.cli.console import terminal


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["check"],
            [
                "reading ",
                "checking 40 rows",
                "comparing texts: 0 of 40",
                "looking for nearly equal texts: 0 of ",
            ],
        ),
        (["import", "--name", "kept"], ["reading ", "checking 40 rows", "storing 40 rows"]),
    ],
)
def test_long_work_says_on_stderr_how_far_it_is_where_output_is_piped(
    ok: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], said: list[str]
) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    short = ok(*command, "reviews.csv")
    assert " s: " not in short.err
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)
    if "import" in command:
        command = [*command[:-1], "other"]
    done = ok(*command, "reviews.csv")
    lines = [line for line in done.err.splitlines() if " s: " in line]
    for words in said:
        assert any(words in line for line in lines), (words, lines)
    assert " s: " not in done.out
