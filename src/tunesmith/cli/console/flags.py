"""The arguments that name a configuration: `--config`, the flags, and `section.field=value`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tunesmith.cli.console.output import echo, gettext, localized
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import COMMAND_LINE, FLAGS, Draft, read_draft
from tunesmith.errors import ConfigError, Problem, invalid
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.names import exists
from tunesmith.settings import Settings

DEFAULT_CONFIG = Path("config/default.yaml")


_WHAT_IT_TAKES = say(
    "name your data (tickets.csv, a folder, a dataset of the hub, reviews@3), for which task, "
    "model and recipe are chosen, or a configuration (experiment.yaml)"
)


@dataclass(frozen=True)
class Asked:
    """The configuration that a command line names."""

    config: Path
    flags: dict[str, str | None]
    """Flag → what was typed; None where it wasn't."""
    assignments: tuple[str, ...]
    data: str | None = None
    """Data of somebody's own, for which a configuration is chosen; None: a file says it."""

    def draft(self) -> Draft:
        """It as it was asked for. Raises as `read_draft` does, and as `propose`."""
        if self.data is None:
            if self.config == DEFAULT_CONFIG and not self.config.exists():
                raise ConfigError([Problem("SOURCE", _WHAT_IT_TAKES, place=COMMAND_LINE)])
            return read_draft(self.config, self.flags, self.assignments)
        propose = load("tunesmith.experiments.datasets.proposal").propose
        found = propose(self.data, self.assignments, Settings.read())
        for reason in found.reasons:
            echo(f"  {localized(reason)}", err=True)
        return read_draft(found.config, self.flags, self.assignments)


def configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the configuration that is `asked` for."""

    @functools.wraps(command)
    def gather(*args: Any, config: Path, assignments: tuple[str, ...], **values: Any) -> Any:
        flags = {name: values.pop(name) for name in FLAGS}
        named = [text for text in assignments if "=" not in text or exists(Path(text))]
        others = tuple(text for text in assignments if text not in named)
        source = click.get_current_context().get_parameter_source("config")
        given = ", ".join(named)
        if named and source is not ParameterSource.DEFAULT:
            wrong = say("is neither a flag nor section.field=value, and --config names the data")
            raise invalid("SOURCE", wrong, given, place=COMMAND_LINE)
        if len(named) > 1:
            raise invalid("SOURCE", gettext("only one at a time"), given, place=COMMAND_LINE)
        data = next(iter(named), None)
        if data is not None and Path(data).suffix.lower() in (".yaml", ".yml"):
            config, data = Path(data), None
        return command(*args, **values, asked=Asked(config, flags, others, data))

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
    return click.argument(
        "assignments", nargs=-1, metavar="[DATA|FILE.yaml] [SECTION.FIELD=VALUE]..."
    )(decorated)


def _help(path: str) -> str:
    model: Any = ExperimentConfig
    *sections, name = path.split(".")
    for section in sections:
        model = model.model_fields[section].annotation
    return f"{model.model_fields[name].description} [{path}]"
