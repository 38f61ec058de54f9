"""`tunesmith doctor`: what a training and the services need, and what of it is missing."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.text import Text

from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.terminal import Terminal
from tunesmith.jobs.installation import Finding, State, look_at_installation
from tunesmith.settings import Settings

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}
_NAMES, _STATES = 13, 8
_DIAGNOSIS = "tunesmith.jobs.diagnosis"
"""Looks at all; loaded when it is needed, because it can't be where a package is missing."""


@click.command(cls=OnceCommand)
@click.option("--json", "as_json", is_flag=True, help="All findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check the installation, and say what to do; exit code 1 when there is a problem."""
    settings = Settings.read()
    console = Terminal(highlight=False, soft_wrap=True)
    findings = []
    for finding in _diagnose(settings):
        findings.append(finding)
        if as_json:
            continue
        line = Text(f"{finding.name:<{_NAMES}} ")
        line.append(f"{finding.state:<{_STATES}}", _STYLES[finding.state]).append(finding.message)
        console.print(line)
        if finding.advice:
            console.print(Text(f"{'':<{_NAMES + _STATES + 1}}{finding.advice}", "dim"))
    if as_json:
        echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(1 if any(finding.state is State.PROBLEM for finding in findings) else 0)


def _diagnose(settings: Settings) -> Iterator[Finding]:
    """All findings; where a package is missing or broken, those that say so."""
    try:
        diagnosis = importlib.import_module(_DIAGNOSIS)
    except (ImportError, OSError) as error:
        yield from look_at_installation()
        yield Finding(
            "imports",
            State.PROBLEM,
            f"{type(error).__name__}: {error}",
            "make setup installs what is missing; all else is looked at once this is well",
        )
        return
    yield from diagnosis.diagnose(settings)
