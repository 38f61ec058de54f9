"""The arguments that name a configuration: `--config`, the flags, and `section.field=value`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import FLAGS, Draft, read_draft

DEFAULT_CONFIG = Path("config/default.yaml")


@dataclass(frozen=True)
class Asked:
    """The configuration that a command line names."""

    config: Path
    flags: dict[str, str | None]
    """Flag → what was typed; None where it wasn't."""
    assignments: tuple[str, ...]

    def draft(self) -> Draft:
        """It as it was asked for. Raises as `read_draft` does."""
        return read_draft(self.config, self.flags, self.assignments)


def configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the configuration that is `asked` for."""

    @functools.wraps(command)
    def gather(*args: Any, config: Path, assignments: tuple[str, ...], **values: Any) -> Any:
        flags = {name: values.pop(name) for name in FLAGS}
        return command(*args, **values, asked=Asked(config, flags, assignments))

    decorated: Callable[..., Any] = gather
    for name, field in reversed(FLAGS.items()):
        # Values stay text here: the schema reads them, and reports every problem in the same way.
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        option = click.option(*spellings, name, default=None, metavar="VALUE", help=_help(field))
        decorated = option(decorated)
    decorated = click.option(
        "--config", "-c", type=click.Path(path_type=Path), default=DEFAULT_CONFIG,
        show_default=True, help="YAML file of the experiment.",
    )(decorated)  # fmt: skip
    return click.argument("assignments", nargs=-1, metavar="[SECTION.FIELD=VALUE]...")(decorated)


def _help(path: str) -> str:
    model: Any = ExperimentConfig
    *sections, name = path.split(".")
    for section in sections:
        model = model.model_fields[section].annotation
    return f"{model.model_fields[name].description} [{path}]"
