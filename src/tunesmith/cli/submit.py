"""`tunesmith submit`: check an experiment and queue it for the workers."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from tunesmith.cli.actor import actor
from tunesmith.cli.display import TerminalDisplay
from tunesmith.cli.flags import Flags, configuration
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.summary import command_name
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.waiting import Outlook, place
from tunesmith.config.yaml import read_draft
from tunesmith.experiments.prepare import check
from tunesmith.experiments.submission import enqueue, with_absolute_paths
from tunesmith.jobs.queue import send_once
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.store import Store


@click.command(cls=OnceCommand)
@configuration
@click.option("--after", metavar="ID", help="Wait until this experiment has ended.")
@click.option("--no-check", is_flag=True, help="Leave the data and the model to the worker.")
def submit(
    config: Path,
    assignments: tuple[str, ...],
    flags: Flags,
    after: str | None,
    no_check: bool,
) -> None:
    """Queue an experiment; a worker trains it.

    Settings come from the file, then the flags, then SECTION.FIELD=VALUE, the last one winning.
    """
    settings = Settings.read()
    draft = read_draft(config, flags, assignments)
    if not no_check:
        with TerminalDisplay().working("checking configuration, data and model"):
            check(draft, settings)
    with Store(settings.store_url) as store:
        runs_after = store.find(after).id if after else None
        experiment = enqueue(
            with_absolute_paths(draft), store, settings, owner=actor(), runs_after=runs_after
        )
        write_down(store, actor(), "experiment.submit", experiment.id, name=experiment.name)
        where = place(experiment, store)
        obstacles = Outlook(store, settings).obstacles(experiment)
    console = Terminal(highlight=False, soft_wrap=True)
    console.print(f"[bold]{experiment.name}[/]  experiment [cyan]{experiment.id}[/], {where}")
    for obstacle in obstacles:
        console.print(Text(f"  it waits: {obstacle}", "yellow"))
    console.print(f"  follow it:  {command_name()} experiments logs {experiment.id} --follow")
    if experiment.queue is not None and not send_once(settings, experiment.queue):
        console.print(
            "  [yellow]The broker can't be reached: workers find the experiment by themselves "
            "within seconds, once one runs.[/]"
        )
        console.print(f"  start one:  {command_name()} up", highlight=False)
