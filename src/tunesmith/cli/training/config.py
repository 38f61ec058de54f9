"""`tunesmith config`: check a configuration, show it complete, describe its fields.

None of it needs torch.
"""

from __future__ import annotations

import click

from tunesmith.cli.console.flags import Asked, configuration
from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, echo_json
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import to_yaml
from tunesmith.experiments.lifecycle.prepare import check
from tunesmith.settings import Settings


@click.group(cls=OnceGroup)
def config() -> None:
    """Check, show and describe configurations."""


@config.command()
@configuration
def validate(asked: Asked) -> None:
    """Report every problem of a configuration: its fields, its data, its model."""
    unchecked = check(asked.draft(), Settings.read())
    echo("{config} is valid.", config=asked.config)
    for line in unchecked:
        echo("not checked: {line}", line=line)


@config.command()
@configuration
def show(asked: Asked) -> None:
    """Print the configuration complete, with every default."""
    echo(to_yaml(asked.draft().config()), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema: every field with type, bounds, default and description."""
    echo_json(ExperimentConfig.model_json_schema(), indent=2)
