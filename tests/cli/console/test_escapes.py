"""Whatever users wrote is only shown: no escape sequence is run, no line is forged."""

from __future__ import annotations

import json
import logging
import re
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from tunesmith.cli.console.output import echo
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal
from tunesmith.cli.main import app
from tunesmith.errors import printable
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.log import append_to_log, logging_to
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import utc_now

NASTY = "\x1b[2J\x1b]0;mine\x07good\x9b2J"
"""Clears the screen, gives the window a name, and clears it again as old terminals do."""

FORGED = "good\n2026-11-30 09:00:00+08:00 ERROR all is lost"

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("styled", [True, False])
def test_consoles_and_tables_show_escapes_and_keep_their_own_styles(styled: bool) -> None:
    file = StringIO()
    console = Terminal(
        file=file, width=100, force_terminal=styled, color_system="standard" if styled else None
    )
    console.print(f"a name {NASTY}", markup=False)
    console.print(Text(NASTY, "bold"), Text(NASTY))
    plain = Table(NASTY)
    plain.add_row(NASTY)
    console.print(plain)
    fitted = FittedTable(Column(NASTY), Column("wraps", wraps=True))
    fitted.add_row(NASTY, NASTY)
    fitted.add_row(Text(NASTY, "red"), "two\nlines")
    fitted.add_row(FORGED, "")
    console.print(fitted)
    with console.status(NASTY):
        pass
    shown = file.getvalue()
    assert ("\x1b[1m" in shown) is styled
    own = re.sub(r"\x1b\[[0-9;?]*[A-Zhlm]", "", shown) if styled else shown
    assert "\x1b[2J" not in shown
    assert CONTROLS.findall(own.replace("\r", "")) == []
    assert "\\u001b[2J" in shown
    assert not any(line.startswith("2026") for line in shown.splitlines())


def test_what_is_echoed_shows_escapes_and_json_stays_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    echo(NASTY)
    echo(json.dumps({"name": NASTY}, ensure_ascii=False))
    echo(NASTY, err=True)
    out, err = capsys.readouterr()
    assert CONTROLS.findall(out + err) == []
    assert json.loads(out.splitlines()[1]) == {"name": NASTY}
    assert printable("two\r\nlines\tof 文字 👩‍👧") == "two\nlines\tof 文字 👩‍👧"


def test_a_file_with_such_columns_and_labels_is_checked_without_harm(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    rows = [f'"a film of number {n}","{NASTY if n % 2 else FORGED}",x' for n in range(12)]
    path.write_text(
        f'text,label,"{NASTY}"\n' + "\n".join([*rows, f',"{NASTY}",x']) + "\n", encoding="utf-8"
    )
    for command in ("check", "analyze"):
        done = CliRunner().invoke(
            app,
            ["data", command, str(path), "--output", str(tmp_path / f"{command}.json")],
            env={"TUNESMITH_RESULTS_DIR": str(tmp_path / "results"), "COLUMNS": "200"},
        )
        assert "label" in done.output
        assert CONTROLS.findall(done.output) == [], command
        assert not any(line.startswith("2026") for line in done.output.splitlines()), command


def test_no_line_of_a_log_is_forged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=tmp_path)
    files = ExperimentFolder.create(tmp_path, "reviews", utc_now())
    log = logging.getLogger("tunesmith")
    with logging_to(files.log, settings):
        log.warning("labels: %s, %s", NASTY, FORGED)
    append_to_log(files.log, settings, [(logging.ERROR, f"it ended: {FORGED}{NASTY}")])
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to_terminal(settings, "worker")
    log.warning("took %s %s", FORGED, NASTY)
    logging.captureWarnings(False)
    for text, entries in ((files.log.read_text(encoding="utf-8"), 2), (capsys.readouterr().err, 1)):
        assert CONTROLS.findall(text) == []
        begun = [line for line in text.splitlines() if not line.startswith("    ")]
        assert len(begun) == entries, text


def test_every_command_prints_through_them() -> None:
    """No command prints past `echo`, `confirm` and `Terminal`."""
    past = re.compile(r"(?<![\w.])Console\(|click\.(echo|secho|confirm|prompt)\(|(?<![\w.])print\(")
    folder = Path(app.callback.__code__.co_filename).parent  # type: ignore[union-attr]
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        if path.name != "output.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if past.search(line)
    ]
    assert found == []
    assert len(list(folder.rglob("*.py"))) > 20
