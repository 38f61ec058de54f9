"""Help and errors of click in the terminal's language: ours, and its own."""

from __future__ import annotations

import gettext
import inspect

import click

from tunesmith.cli.console.output import language
from tunesmith.messages.catalogues import ENGLISH, translate, translate_plural


def speak() -> None:
    """Let click say its own texts, as `Usage:`, in the terminal's language.

    It asks gettext for them, whose catalogues are compiled files; ours stand in for these.
    """
    own = language()
    if own != ENGLISH:
        gettext.dgettext = lambda domain, message: translate(message, own)
        gettext.dngettext = lambda domain, msgid1, msgid2, n: translate_plural(
            msgid1, msgid2, n, own
        )
        click.Context.formatter_class = _Formatter


class _Formatter(click.HelpFormatter):
    """Writes headings with the language's own colon."""

    def write_heading(self, heading: str) -> None:
        colon = translate(": ", language()).rstrip()
        self.write(f"{'':>{self.current_indent}}{heading}{colon}\n")


def in_the_terminals_language(command: click.Command) -> click.Command:
    """`command`, its parameters and its own commands with their help in the terminal's language."""
    if language() == ENGLISH:
        return command
    command.help = _translated(command.help)
    command.short_help = _translated(command.short_help)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            parameter.help = _translated(parameter.help)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            in_the_terminals_language(inner)
    return command


def _translated(text: str | None) -> str | None:
    return text and translate(inspect.cleandoc(text), language())
