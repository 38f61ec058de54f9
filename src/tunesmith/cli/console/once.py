"""Commands whose options are given once: of two values, the first would be lost without a word."""

from __future__ import annotations

from collections import Counter

import click

from tunesmith.cli.console.output import gettext


class OnceCommand(click.Command):
    """A command that refuses an option given twice, unless it is one for several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `args`. Raises click.UsageError where an option takes one value and got more."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(given).items():
            if times > 1 and _takes_one(parameter):
                names = " or ".join(parameter.opts)
                raise click.UsageError(
                    gettext(
                        "{names} was given {times} times; give it once.", names=names, times=times
                    ),
                    ctx,
                )
        return super().parse_args(ctx, args)


class OnceGroup(click.Group):
    """A group of such commands."""

    command_class = OnceCommand


def _takes_one(parameter: click.Parameter) -> bool:
    """Whether a second value would replace the first; a flag's says the same, or the contrary."""
    if not isinstance(parameter, click.Option) or parameter.multiple or parameter.count:
        return False
    return not parameter.is_flag or bool(parameter.secondary_opts)
