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
    sources = [text for text in arguments if "=" not in text or exists(Path(text))]
    if len(sources) > 1:
        where = gettext("command line")
        raise invalid("SOURCE", gettext("only one at a time"), ", ".join(sources), place=where)
    if not sources and config is None:
        config = DEFAULT_CONFIG
    assignments = [*(text for text in arguments if text not in sources), *more]
    name = sources[0] if sources else None
    return inquire(name, config, assignments, settings, with_model=with_model)
