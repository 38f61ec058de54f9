"""What the tests of the deployment share: tools of the environment, names that are true."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.main import app
from tunesmith.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent

LIBRARIES = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"),
    "AWS_ALLOW_HTTP",
    *("TUNESMITH_ADMIN_TOKEN", "TUNESMITH_METRICS_TOKEN"),
}
"""Variables that are none of Tunesmith's settings: those of libraries, and of the migrations."""

SETTINGS = {str(f.validation_alias) for f in Settings.model_fields.values()} | LIBRARIES


def tool(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program that a package of the environment brings."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: make environment-dev installs it"
    return subprocess.run(
        [found, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_is_command(words: list[str]) -> None:
    """Fail unless `words` are arguments that the command `tunesmith` takes."""
    command: click.Command = app
    context, name, rest = click.Context(app), "tunesmith", list(words)
    while isinstance(command, click.Group):
        name, *rest = rest
        found = command.get_command(context, name)
        assert found is not None, f"{name} of {words}"
        command = found.load() if isinstance(found, LazyCommand) else found
    command.make_context(name, rest)
