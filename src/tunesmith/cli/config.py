"""`tunesmith config`: check a configuration, show it complete, describe its fields.

None of it needs torch.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from tunesmith.cli.flags import Flags, configuration
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.experiments.prepare import check
from tunesmith.settings import Settings


@click.group(cls=OnceGroup)
def config() -> None:
    """Check, show and describe configurations."""


@config.command()
@configuration
def validate(config: Path, assignments: tuple[str, ...], flags: Flags) -> None:
    """Report every problem of a configuration: its fields, its data, its model."""
    unchecked = check(read_draft(config, flags, assignments), Settings.read())
    echo(f"{config} is valid.")
    for line in unchecked:
        echo(f"not checked: {line}")


@config.command()
@configuration
def show(config: Path, assignments: tuple[str, ...], flags: Flags) -> None:
    """Print the configuration complete, with every default."""
    echo(to_yaml(read_draft(config, flags, assignments).config()), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema: every field with type, bounds, default and description."""
    echo(json.dumps(ExperimentConfig.model_json_schema(), indent=2, ensure_ascii=False))
