"""`tunesmith train`: prepare, submit and execute an experiment in this process."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tunesmith.cli.display import TerminalDisplay
from tunesmith.cli.flags import Flags, configuration
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.summary import command_name, print_summary
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import Draft, read_draft
from tunesmith.errors import (
    ConfigError,
    Interrupted,
    Problem,
    ProcessKilledError,
    StorageError,
    TrainingError,
    TunesmithError,
    UserError,
)
from tunesmith.experiments.execution import execute, resumable
from tunesmith.experiments.prepare import Prepared, prepare
from tunesmith.experiments.reconcile import reconcile
from tunesmith.experiments.submission import submit
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.store import Store
from tunesmith.training.place import Place

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.training.meeting import Meeting


@click.command(cls=OnceCommand)
@configuration
@click.option("--resume", metavar="ID", help="Continue this experiment from its newest checkpoint.")
@click.pass_context
def train(
    context: click.Context,
    config: Path,
    assignments: tuple[str, ...],
    flags: Flags,
    resume: str | None,
) -> None:
    """Train an experiment here and now.

    Settings come from the file, then the flags, then SECTION.FIELD=VALUE, the last one winning.
    Started by torchrun, its processes train one experiment together.
    """
    settings = Settings.read()
    asked = context.get_parameter_source("config") is not ParameterSource.DEFAULT
    if resume is not None and (asked or assignments or any(flags.values())):
        raise click.UsageError(
            "--resume goes on with the experiment's own configuration: leave out --config, "
            "flags and SECTION.FIELD=VALUE, or start a new experiment with them."
        )
    place = Place.of_torchrun()
    draft = read_draft(config, flags, assignments) if resume is None else None
    if place is not None and draft is not None and draft.partial is not None:
        _check_size(draft.partial, place)
    meets = importlib.import_module("tunesmith.training.meeting").Meeting(place) if place else None
    with meets or nullcontext():
        if place is None or place.leads:
            _lead(draft, resume, settings, meets)
            return
        echo(f"process {place.rank + 1} of {place.size}: the first one says what is trained")
        importlib.import_module("tunesmith.experiments.joining").join(meets, draft, settings)
        echo(f"process {place.rank + 1} of {place.size}: trained; the first one goes on alone")


def _lead(
    draft: Draft | None, resume: str | None, settings: Settings, meeting: Meeting | None
) -> None:
    """Train what `draft` asks for, or go on with the experiment `resume`; alone, or with others."""
    display = TerminalDisplay()
    if draft is None:
        with display.working("looking for data and model"), Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = store.find(str(resume))
            prepared = resumable(experiment, settings)
        if meeting is not None:
            _check_size(prepared.config, meeting.place)
    else:
        with display.working("checking configuration, data and model"):
            prepared = prepare(draft, settings)
        with Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = submit(prepared, store, settings)
    run_here(experiment, prepared, settings, display, meeting)


def _check_size(config: ExperimentConfig, place: Place) -> None:
    """Raise ConfigError unless torchrun started as many processes as the configuration names.

    Their number belongs to what is learned: each has a batch of its own in every step.
    """
    asked, message = config.training.processes, f"torchrun started {place.size} processes"
    if asked != place.size:
        raise ConfigError([Problem("training.processes", message, asked, str(place.size))])


def run_here(
    experiment: Experiment,
    prepared: Prepared,
    settings: Settings,
    display: TerminalDisplay,
    meeting: Meeting | None = None,
) -> None:
    """Train a submitted experiment in this process, seen in the terminal, to its summary.

    Raises what ends it, with the way to go on.
    """
    display.begin(experiment)
    command = command_name() if meeting is None else "on every node, torchrun … -m tunesmith.cli"
    resuming = f"{command} train --resume {experiment.id}"
    with Store(settings.store_url) as store:
        try:
            with display:
                experiment = execute(
                    experiment.id,
                    store,
                    settings,
                    prepared=prepared,
                    listener=display,
                    meeting=meeting,
                )
        except (Interrupted, KeyboardInterrupt):
            ended = store.get(experiment.id)
            how = f"experiment {experiment.id} is kept; go on with\n  {resuming}"
            if ended.status is ExperimentStatus.FAILED:  # its time limit, nobody's wish
                raise TrainingError(f"{ended.reason}\n{how}") from None
            raise Interrupted(how) from None
        except TunesmithError as error:
            status = store.get(experiment.id).status
            lines = [str(error), f"Experiment {experiment.id} is recorded as {status}."]
            if not isinstance(error, UserError):
                lines.append(f"Its log: {experiment.directory}/logs.txt")
            if isinstance(error, (StorageError, ProcessKilledError)):
                lines.append(f"Go on with: {resuming}")
            error.args = ("\n".join(lines),)
            raise
    print_summary(display.console, experiment)
