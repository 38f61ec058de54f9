"""The arguments that name a configuration: `--config`, the flags, and `section.field=value`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import FLAGS

DEFAULT_CONFIG = Path("config/default.yaml")

Flags = dict[str, str | None]
"""Flag → what was typed; None where it wasn't."""


def configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the arguments `config`, `flags` and `assignments`."""

    @functools.wraps(command)
    def gather(*args: Any, **values: Any) -> Any:
        flags = {name: values.pop(name) for name in FLAGS}
        return command(*args, **values, flags=flags)

    decorated: Callable[..., Any] = gather
    for name, field in reversed(FLAGS.items()):
        # Values stay text here: the schema reads them, so that every problem is told the same way.
        decorated = click.option(
            *_spellings(name), name, default=None, metavar="VALUE", help=_help(field)
        )(decorated)
    decorated = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        default=DEFAULT_CONFIG,
        show_default=True,
        help="YAML file of the experiment.",
    )(decorated)
    return click.argument("assignments", nargs=-1, metavar="[SECTION.FIELD=VALUE]...")(decorated)


def _spellings(name: str) -> list[str]:
    """`--learning_rate`, and `--learning-rate` as well."""
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _help(path: str) -> str:
    model: Any = ExperimentConfig
    *sections, name = path.split(".")
    for section in sections:
        model = model.model_fields[section].annotation
    return f"{model.model_fields[name].description} [{path}]"
