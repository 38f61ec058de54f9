"""The command `tunesmith`: its commands, and how errors end it."""

from __future__ import annotations

import os
import sys

import click

from tunesmith import __version__
from tunesmith.cli.console.helptext import in_the_terminals_language, speak
from tunesmith.cli.console.lazy import LazyCommand
from tunesmith.cli.console.output import echo, gettext, localized, outlive_readers, word
from tunesmith.errors import ConfigError, Interrupted, TunesmithError
from tunesmith.loading import load

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("training.train", "Train an experiment here and now."),
    "submit": ("training.submit", "Queue an experiment for the workers."),
    "sweep": ("training.sweep", "Search for the best setting, trial by trial."),
    "sweeps": ("training.sweeps", "List, show, resume and cancel sweeps."),
    "config": ("training.config", "Check, show and describe configurations."),
    "data": ("data.data", "Check, analyze, import, compare and export data."),
    "experiments": (
        "experiments.experiments",
        "List, show, follow, cancel, resume, delete, export, import.",
    ),
    "compare": ("experiments.compare", "Compare experiments: which is better, or is it luck?"),
    "analyze": ("experiments.analyze", "Report over many experiments, in groups."),
    "rerun": ("experiments.rerun", "Make an experiment again: does it match?"),
    "adapters": (
        "adapters.adapters",
        "Register adapters under names, promote versions, find them.",
    ),
    "predict": ("adapters.predict", "Ask the adapter of an experiment."),
    "serve": ("adapters.serve", "Keep adapters loaded, for chats as OpenAI's API has them."),
    "export": ("adapters.export", "Export an adapter: merged, ONNX, GGUF, the hub, an archive."),
    "queue": ("service.queue", "Show what waits, and why; pause and continue a queue."),
    "up": ("service.up", "Start broker, API, worker and web page on this machine."),
    "down": ("service.up", "Stop what `tunesmith up` started."),
    "worker": ("service.worker", "Take experiments from the queue and train them here."),
    "api": ("service.servers", "Serve the REST API."),
    "ui": ("service.servers", "Serve the web page."),
    "tokens": ("service.tokens", "Make, list and revoke access tokens of the API."),
    "webhooks": ("service.webhooks", "Test webhooks, and make their secret."),
    "db": ("service.db", "Upgrade, back up and restore the store."),
    "gc": ("service.gc", "Show what is left over and may go; delete it with --delete."),
    "doctor": ("service.doctor", "Check the installation, and say what to do."),
}
"""Command → the module of `cli` that defines it under its name, and its line in the help."""


@click.group(
    commands={name: LazyCommand(name, *found) for name, found in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="tunesmith")
def app() -> None:
    """LoRA fine-tuning that you can trust, with every experiment kept.

    \b
    tunesmith train                            the starter: movie reviews, about a minute
    tunesmith train --config my.yaml           an experiment of your own
    tunesmith train training.seed=7 --epochs 3 any field, set on the command line
    tunesmith experiments list                 what was trained, and how good it is
    tunesmith data check reviews.csv           what is wrong with the data, row by row
    """  # noqa: D301 - click's mark of lines to leave alone is a real backspace
    _keep_files_private()


def _keep_files_private() -> None:
    """Let what this command writes be read as TUNESMITH_FILE_ACCESS says, and what it finds too."""
    permissions, settings = load("tunesmith.files.permissions"), load("tunesmith.settings")
    try:
        read = settings.Settings.read()
    except ConfigError:  # the command itself says what is wrong
        permissions.take(permissions.Access.OWNER)
        return
    access = permissions.Access(read.file_access)
    permissions.take(access)
    for folder in (read.results_dir, read.cache_dir):
        if permissions.is_ours(folder) and permissions.close_to_strangers(folder, access):
            echo(
                "{folder} was readable by other accounts of this machine and isn't any "
                "more; TUNESMITH_FILE_ACCESS=group or all shares it.",
                folder=folder,
                err=True,
            )


def main() -> None:
    """Run the command; a user's mistake is one clear paragraph, never a traceback."""
    # The libraries' own bars would stand in the middle of ours, here and in the processes that we
    # start. tqdm, which they all use, reads this when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    outlive_readers()
    speak()
    try:
        status = in_the_terminals_language(app).main(standalone_mode=False)
    except click.exceptions.Abort:
        _end("", Interrupted.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "tunesmith":
            raise
        _end(
            gettext(
                "{error}: a package is missing or broken. tunesmith doctor says which.", error=error
            ),
            1,
        )
    except TunesmithError as error:
        heading = ""
        if isinstance(error, ConfigError) and len(error.problems) > 1:
            heading = gettext("{n} problems:", n=len(error.problems)) + "\n"
        _end(heading + localized(str(error)), error.exit_code)
    except KeyboardInterrupt:
        _end("", Interrupted.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def _end(body: str, exit_code: int) -> None:
    body, colour, label = body.strip(), "red", gettext("error")
    if exit_code == Interrupted.exit_code:
        colour, label = "yellow", gettext("stopped")
    colon = word(": ") if body else ""
    echo(body, label=click.style(label + colon, fg=colour, bold=True), err=True)
    sys.exit(exit_code)
