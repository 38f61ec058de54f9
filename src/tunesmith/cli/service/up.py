"""`tunesmith up` and `tunesmith down`: all services of this machine at once."""

from __future__ import annotations

from contextlib import suppress

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, gettext, word
from tunesmith.cli.console.summary import command_name
from tunesmith.jobs.services.running import Running
from tunesmith.jobs.services.starting import (
    AlreadyRunning,
    Services,
    longest_stop,
    start_in_background,
    stop,
)
from tunesmith.settings import Settings

_COLOURS = {"api": "green", "worker": "cyan", "ui": "blue", "broker": "magenta", "up": "yellow"}
_WIDTH = max(len(name) for name in _COLOURS)


@click.command(cls=OnceCommand)
@click.option(
    "--detach", "-d", is_flag=True, help="Return once they run; `tunesmith down` ends them."
)
@click.option("--quiet", is_flag=True, hidden=True, help="Leave what API and worker print out.")
def up(detach: bool, quiet: bool) -> None:
    """Start broker, API, worker and web page on this machine, and stop them with Ctrl-C.

    The broker is an embedded Valkey unless REDIS_URL is set or one answers on REDIS_PORT. Ports
    come from .env. What the services print is kept in results/.tunesmith/ too.
    """
    settings = Settings.read()
    try:
        if detach:
            start_in_background(settings)
            _announce(settings)
            echo("  stop them:  {command_name} down", command_name=command_name())
        else:
            Services(settings, _say_own if quiet else _say).run(lambda: _announce(settings))
    except AlreadyRunning as error:
        where, known = "", error.running
        if known and not known.is_here:
            where = gettext(" on {host}", host=known.host)
        echo("The services run already{where}.", where=where)
        for name, address in (known.addresses if known else {}).items():
            echo(f"  {word(name):<8}  {address}")
        echo("  stop them:  {command_name} down", command_name=command_name())


@click.command(cls=OnceCommand)
def down() -> None:
    """Stop what `tunesmith up` started; what trains saves a checkpoint first."""
    settings = Settings.read()
    running = Running.read(settings)
    if running is not None and running.is_here and running.supervisor.find() is not None:
        echo(
            "Stopping: what trains saves a checkpoint first, for at most "
            "{longest_stop:.0f} seconds …",
            longest_stop=longest_stop(settings),
        )
    echo(gettext("Stopped.") if stop(settings) else gettext("Nothing runs."))


def _announce(settings: Settings) -> None:
    address = settings.api_address
    _print(gettext("  web page    {ui_address}", ui_address=settings.ui_address))
    _print(gettext("  API         {address}", address=address))
    _print(gettext("  its pages   {address}/docs", address=address))
    _print(gettext("  logs        {services_dir}", services_dir=settings.services_dir))


def _say(name: str, line: str) -> None:
    _print(f" {line}", click.style(f"{name:<{_WIDTH}} |", fg=_COLOURS.get(name)))


def _say_own(name: str, line: str) -> None:
    """What has no log of its own."""
    if name not in ("api", "worker", "ui"):
        _say(name, line)


def _print(line: str, label: str = "") -> None:
    """Services outlive the terminal, or the room on the disk, that they were started with."""
    with suppress(OSError):
        echo(line, label=label)
