"""Commands that are loaded when they are called: help and completion answer at once.

https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
"""

from __future__ import annotations

from typing import Any

import click

from tunesmith.cli.console.helptext import in_the_terminals_language
from tunesmith.loading import load


class LazyCommand(click.Command):
    """Stands for a command until it is called."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        """`module` of `cli` defines the command, and `summary` is its line in the help."""
        self.module = f"tunesmith.cli.{module}"
        super().__init__(name, help=summary)

    def load(self) -> click.Command:
        """The command itself."""
        found = vars(load(self.module)).values()
        command = next(c for c in found if isinstance(c, click.Command) and c.name == self.name)
        return in_the_terminals_language(command)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to the command itself."""
        return self.load().make_context(info_name, args, parent, **extra)
