"""`tunesmith train`: prepare, submit and execute an experiment in this process."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from tunesmith.cli.display import TerminalDisplay
from tunesmith.cli.flags import Flags, configuration
from tunesmith.cli.summary import command_name, print_summary
from tunesmith.config.yaml import read_draft
from tunesmith.errors import Interrupted, StorageError, TrainingError, TunesmithError, UserError
from tunesmith.experiments.execution import execute, resumable
from tunesmith.experiments.prepare import Prepared, prepare
from tunesmith.experiments.reconcile import reconcile
from tunesmith.experiments.submission import submit
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.store import Store


@click.command()
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
    """
    settings = Settings.read()
    display = TerminalDisplay()
    if resume is not None:
        asked = context.get_parameter_source("config") is not ParameterSource.DEFAULT
        if asked or assignments or any(flags.values()):
            raise click.UsageError(
                "--resume goes on with the experiment's own configuration: leave out --config, "
                "flags and SECTION.FIELD=VALUE, or start a new experiment with them."
            )
        with display.working("looking for data and model"), Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = store.find(resume)
            prepared = resumable(experiment, settings)
    else:
        with display.working("checking configuration, data and model"):
            prepared = prepare(read_draft(config, flags, assignments), settings)
        with Store(settings.store_url) as store:
            reconcile(store, settings)
            experiment = submit(prepared, store, settings)
    run_here(experiment, prepared, settings, display)


def run_here(
    experiment: Experiment, prepared: Prepared, settings: Settings, display: TerminalDisplay
) -> None:
    """Train a submitted experiment in this process, seen in the terminal, to its summary.

    Raises what ends it, with the way to go on.
    """
    display.begin(experiment)
    with Store(settings.store_url) as store:
        try:
            with display:
                experiment = execute(
                    experiment.id, store, settings, prepared=prepared, listener=display
                )
        except (Interrupted, KeyboardInterrupt):
            ended = store.get(experiment.id)
            how = (
                f"experiment {experiment.id} is kept; go on with\n"
                f"  {command_name()} train --resume {experiment.id}"
            )
            if ended.status is ExperimentStatus.FAILED:  # its time limit, nobody's wish
                raise TrainingError(f"{ended.reason}\n{how}") from None
            raise Interrupted(how) from None
        except TunesmithError as error:
            status = store.get(experiment.id).status
            lines = [str(error), f"Experiment {experiment.id} is recorded as {status}."]
            if not isinstance(error, UserError):
                lines.append(f"Its log: {experiment.directory}/logs.txt")
            if isinstance(error, StorageError):
                lines.append(f"Go on with: {command_name()} train --resume {experiment.id}")
            error.args = ("\n".join(lines),)
            raise
    print_summary(display.console, experiment)
