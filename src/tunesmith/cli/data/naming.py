"""How commands of `tunesmith data` name the data that they are about."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.console.flags import DEFAULT_CONFIG
from tunesmith.cli.console.output import gettext
from tunesmith.errors import invalid
from tunesmith.experiments.datasets.importing import Inquiry, inquire
from tunesmith.names import exists
from tunesmith.settings import Settings

Named = Callable[..., Inquiry]
"""The data that a command line names, found with the settings."""


def inquiry(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the data and rules that are `named` by its arguments and `--config`."""

    @functools.wraps(command)
    def gather(arguments: tuple[str, ...], config: Path | None, **values: Any) -> Any:
        return command(**values, named=partial(_inquire, arguments, config))

    config = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        help="Configuration with the rules, the task and its columns, and the model's tokenizer. "
        f"Without SOURCE: {DEFAULT_CONFIG}.",
    )
    names = click.argument("arguments", nargs=-1, metavar="[SOURCE] [SECTION.FIELD=VALUE]...")
    return names(config(gather))


def _inquire(
    arguments: tuple[str, ...],
    config: Path | None,
    settings: Settings,
    *,
    with_model: bool = True,
    more: Sequence[str] = (),
) -> Inquiry:
    """The data that the arguments name; what has no `=` is the source. `more` are assignments."""
    name, assignments = source_and_assignments(arguments)
    if name is None and config is None:
        config = DEFAULT_CONFIG
    return inquire(name, config, [*assignments, *more], settings, with_model=with_model)


def source_and_assignments(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The one of the arguments that has no `=`, or is there: the source; and the others."""
    sources = [text for text in arguments if "=" not in text or exists(Path(text))]
    if len(sources) > 1:
        where = gettext("command line")
        raise invalid("SOURCE", gettext("only one at a time"), ", ".join(sources), place=where)
    return (sources[0] if sources else None), [text for text in arguments if text not in sources]
