"""`tunesmith doctor`: what a training and the services need, and what of it is missing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from tunesmith.jobs.diagnosis import State, diagnose
from tunesmith.settings import Settings

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}
_NAMES, _STATES = 13, 8


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check the installation, and say what to do; exit code 1 when there is a problem."""
    settings = Settings.read()
    console = Console(highlight=False, soft_wrap=True)
    findings = []
    for finding in diagnose(settings):
        findings.append(finding)
        if as_json:
            continue
        line = Text(f"{finding.name:<{_NAMES}} ")
        line.append(f"{finding.state:<{_STATES}}", _STYLES[finding.state]).append(finding.message)
        console.print(line)
        if finding.advice:
            console.print(Text(f"{'':<{_NAMES + _STATES + 1}}{finding.advice}", "dim"))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(1 if any(finding.state is State.PROBLEM for finding in findings) else 0)
