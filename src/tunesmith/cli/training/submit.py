"""`tunesmith submit`: check an experiment and queue it for the workers."""

from __future__ import annotations

import click

from tunesmith.cli.console.flags import Asked, configuration
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import gettext
from tunesmith.cli.console.progress import TerminalDisplay
from tunesmith.cli.console.records import record
from tunesmith.cli.console.summary import command_name
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.console.waiting import Outlook, position
from tunesmith.experiments.lifecycle.prepare import check
from tunesmith.experiments.lifecycle.submission import enqueue, with_absolute_paths
from tunesmith.files.environment import this_person
from tunesmith.jobs.queue import send_once
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@click.command(cls=OnceCommand)
@configuration
@click.option("--after", metavar="ID", help="Wait until this experiment has ended.")
@click.option("--no-check", is_flag=True, help="Leave the data and the model to the worker.")
def submit(asked: Asked, after: str | None, no_check: bool) -> None:
    """Queue an experiment; a worker trains it.

    Settings come from the file, then the flags, then SECTION.FIELD=VALUE, the last one winning.
    """
    settings = Settings.read()
    draft = asked.draft()
    if not no_check:
        with TerminalDisplay().working(gettext("checking configuration, data and model")):
            check(draft, settings)
    with Store(settings.store_url) as store:
        runs_after = store.find(after).id if after else None
        draft, owner = with_absolute_paths(draft), this_person()
        experiment = enqueue(draft, store, settings, owner=owner, runs_after=runs_after)
        record(store, "experiment.submit", experiment.id, name=experiment.name)
        where = position(experiment, store)
        obstacles = Outlook(store, settings).obstacles(experiment)
    console = Terminal(soft_wrap=True)
    console.print(
        gettext(
            "[bold]{name}[/]  experiment [cyan]{id}[/], {where}",
            name=experiment.name,
            id=experiment.id,
            where=where,
        )
    )
    for obstacle in obstacles:
        console.say("  it waits: {obstacle}", "yellow", obstacle=obstacle)
    console.say(
        "  follow it:  {command_name} experiments logs {id} --follow",
        command_name=command_name(),
        id=experiment.id,
    )
    if experiment.queue is not None and not send_once(settings, experiment.queue):
        console.print(
            gettext(
                "  [yellow]The broker can't be reached: workers find the experiment by "
                "themselves within seconds, once one runs.[/]"
            )
        )
        console.say("  start one:  {command_name} up", command_name=command_name())
