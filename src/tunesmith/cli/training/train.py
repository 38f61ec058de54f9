"""`tunesmith train`: prepare, submit and execute an experiment in this process."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tunesmith.cli.console.flags import Asked, configuration
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, gettext, localized
from tunesmith.cli.console.progress import TerminalDisplay
from tunesmith.cli.console.summary import command_name, print_summary
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import Draft
from tunesmith.errors import (
    Interrupted,
    ProcessKilledError,
    StorageError,
    TrainingError,
    TunesmithError,
    UserError,
    invalid,
)
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.lifecycle.resuming import resumable
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.loading import load
from tunesmith.messages import joined
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.ranks.place import Place

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.training.distributed.meeting import Meeting


@click.command(cls=OnceCommand)
@configuration
@click.option("--resume", metavar="ID", help="Continue this experiment from its newest checkpoint.")
@click.pass_context
def train(context: click.Context, asked: Asked, resume: str | None) -> None:
    """Train an experiment here and now.

    DATA is a file of your own: task, columns, base model and recipe are chosen for it, and shown.
    Settings come from them or a file, then flags, then SECTION.FIELD=VALUE, the last one winning.
    Started by torchrun, its processes train one experiment together.
    """
    settings = Settings.read()
    named = context.get_parameter_source("config") is not ParameterSource.DEFAULT
    if resume is not None and (named or asked.assignments or any(asked.flags.values())):
        raise click.UsageError(
            gettext(
                "--resume goes on with the experiment's own configuration: leave out "
                "--config, flags and SECTION.FIELD=VALUE, or start a new experiment with "
                "them."
            )
        )
    place = Place.of_torchrun()
    draft = asked.draft() if resume is None else None
    if place is not None and draft is not None and draft.partial is not None:
        _check_size(draft.partial, place)
    meets = load("tunesmith.training.distributed.meeting").Meeting(place) if place else None
    with meets or nullcontext():
        if place is None or place.leads:
            _lead(draft, resume, settings, meets)
            return
        echo(
            "process {rank} of {size}: the first one says what is trained",
            rank=place.rank + 1,
            size=place.size,
        )
        load("tunesmith.experiments.lifecycle.joining").join(meets, draft, settings)
        echo(
            "process {rank} of {size}: trained; the first one goes on alone",
            rank=place.rank + 1,
            size=place.size,
        )


def _lead(
    draft: Draft | None, resume: str | None, settings: Settings, meeting: Meeting | None
) -> None:
    """Train what `draft` asks for, or go on with the experiment `resume`; alone, or with others."""
    display = TerminalDisplay()
    if draft is None:
        looking = display.working(gettext("looking for data and model"))
        with looking, Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = store.find(str(resume))
            prepared = resumable(experiment, settings)
        if meeting is not None:
            _check_size(prepared.config, meeting.place)
    else:
        with display.working(gettext("checking configuration, data and model")):
            prepared = prepare(draft, settings)
        with Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = submit(prepared, store, settings)
    run_here(experiment, prepared, settings, display, meeting)


def _check_size(config: ExperimentConfig, place: Place) -> None:
    """Raise ConfigError unless torchrun started as many processes as the configuration names.

    Their number belongs to what is learned: each has a batch of its own in every step.
    """
    asked = config.training.processes
    message = gettext("torchrun started {size} processes", size=place.size)
    if asked != place.size:
        raise invalid("training.processes", message, asked, str(place.size))


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
    command = command_name()
    if meeting is not None:
        command = gettext("on every node, torchrun … -m tunesmith.cli")
    resuming = gettext("{command} train --resume {id}", command=command, id=experiment.id)
    with Store(settings.store_url) as store:
        try:
            with display:
                experiment = execute(
                    experiment.id, store, settings,
                    prepared=prepared, listener=display, meeting=meeting,
                )  # fmt: skip
        except (Interrupted, KeyboardInterrupt):
            ended = store.get(experiment.id)
            how = gettext(
                "experiment {id} is kept; go on with\n  {resuming}",
                id=experiment.id,
                resuming=resuming,
            )
            if ended.status is ExperimentStatus.FAILED:  # its time limit, nobody's wish
                raise TrainingError(joined([ended.reason or "", how])) from None
            raise Interrupted(how) from None
        except TunesmithError as error:
            status = store.get(experiment.id).status
            id_, where = experiment.id, experiment.directory
            recorded = gettext("Experiment {id} is recorded as {status}.", id=id_, status=status)
            lines = [localized(str(error)), recorded]
            if not isinstance(error, UserError):
                lines.append(gettext("Its log: {directory}/logs.txt", directory=where))
            if isinstance(error, (StorageError, ProcessKilledError)):
                lines.append(gettext("Go on with: {resuming}", resuming=resuming))
            error.args = ("\n".join(lines),)
            raise
    print_summary(display.console, experiment)
