"""`tunesmith doctor`: what a training and the services need, and what of it is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo_json, gettext, localized, word
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.jobs.services.installation import Diagnosis, State, look_at_installation
from tunesmith.settings import Settings

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}
_NAMES, _STATES = 13, 8
_DIAGNOSIS = "tunesmith.jobs.services.diagnosis"
"""Looks at all; loaded when it is needed, because it can't be where a package is missing."""


@click.command(cls=OnceCommand)
@click.option("--json", "as_json", is_flag=True, help="All findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check the installation, and say what to do; exit code 1 when there is a problem."""
    settings = Settings.read()
    console = Terminal(soft_wrap=True)
    findings = []
    for finding in _diagnose(settings):
        findings.append(finding)
        if as_json:
            continue
        line = Text(f"{word(finding.name):<{_NAMES}} ")
        line.append(f"{word(finding.state):<{_STATES}}", _STYLES[finding.state])
        console.print(line.append(finding.message))
        if finding.advice:
            console.print(Text(f"{'':<{_NAMES + _STATES + 1}}{localized(finding.advice)}", "dim"))
    if as_json:
        echo_json([asdict(finding) for finding in findings], indent=2)
    sys.exit(1 if any(finding.state is State.PROBLEM for finding in findings) else 0)


def _diagnose(settings: Settings) -> Iterator[Diagnosis]:
    """All findings; where a package is missing or broken, those that say so."""
    try:
        diagnosis = importlib.import_module(_DIAGNOSIS)
    except (ImportError, OSError) as error:
        yield from look_at_installation()
        yield Diagnosis(
            "imports",
            State.PROBLEM,
            gettext("{name}: {error}", name=type(error).__name__, error=error),
            gettext("make setup installs what is missing; all else is looked at once this is well"),
        )
        return
    yield from diagnosis.diagnose(settings)
