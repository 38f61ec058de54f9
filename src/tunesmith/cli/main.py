"""The command `tunesmith`: its commands, and how errors end it.

Commands are loaded when they are called (click's "lazily loading subcommands"), so that help and
completion answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tunesmith import __version__
from tunesmith.cli.output import echo, outlive_readers
from tunesmith.errors import ConfigError, Interrupted, TunesmithError
from tunesmith.loading import load

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("tunesmith.cli.train", "Train an experiment here and now."),
    "submit": ("tunesmith.cli.submit", "Queue an experiment for the workers."),
    "sweep": ("tunesmith.cli.sweep", "Search for the best setting, trial by trial."),
    "sweeps": ("tunesmith.cli.sweeps", "List, show, resume and cancel sweeps."),
    "config": ("tunesmith.cli.config", "Check, show and describe configurations."),
    "data": ("tunesmith.cli.data", "Check, analyze, import, compare and export data."),
    "experiments": (
        "tunesmith.cli.experiments",
        "List, show, follow, cancel, resume, delete, export, import.",
    ),
    "compare": ("tunesmith.cli.compare", "Compare experiments: which is better, or is it luck?"),
    "analyze": ("tunesmith.cli.analyze", "Report over many experiments, in groups."),
    "rerun": ("tunesmith.cli.rerun", "Make an experiment again: does it match?"),
    "adapters": (
        "tunesmith.cli.adapters",
        "Register adapters under names, promote versions, find them.",
    ),
    "predict": ("tunesmith.cli.predict", "Ask the adapter of an experiment."),
    "serve": ("tunesmith.cli.serve", "Keep adapters loaded, for chats as OpenAI's API has them."),
    "export": (
        "tunesmith.cli.export",
        "Export an adapter: merged, ONNX, GGUF, the hub, an archive.",
    ),
    "queue": ("tunesmith.cli.queue", "Show what waits, and why; pause and continue a queue."),
    "up": ("tunesmith.cli.up", "Start broker, API, worker and web page on this machine."),
    "down": ("tunesmith.cli.up", "Stop what `tunesmith up` started."),
    "worker": ("tunesmith.cli.worker", "Take experiments from the queue and train them here."),
    "api": ("tunesmith.cli.api", "Serve the REST API."),
    "ui": ("tunesmith.cli.ui", "Serve the web page."),
    "tokens": ("tunesmith.cli.tokens", "Make, list and revoke access tokens of the API."),
    "webhooks": ("tunesmith.cli.webhooks", "Test webhooks, and make their secret."),
    "db": ("tunesmith.cli.db", "Upgrade, back up and restore the store."),
    "gc": ("tunesmith.cli.gc", "Show what is left over and may go; delete it with --delete."),
    "doctor": ("tunesmith.cli.doctor", "Check the installation, and say what to do."),
}
"""Command → the module that defines it under the same name, and its line in the help."""


class LazyCommand(click.Command):
    """Stands for a command until it is called."""

    def __init__(self, name: str) -> None:
        self.module, summary = COMMANDS[name]
        super().__init__(name, help=summary)

    def load(self) -> click.Command:
        """The command itself."""
        command: click.Command = getattr(load(self.module), str(self.name))
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to the command itself."""
        return self.load().make_context(info_name, args, parent, **extra)


@click.group(
    commands={name: LazyCommand(name) for name in COMMANDS},
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
    permissions, settings = load("tunesmith.tracking.permissions"), load("tunesmith.settings")
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
                f"{folder} was readable by other accounts of this machine and isn't any more; "
                "TUNESMITH_FILE_ACCESS=group or all shares it.",
                err=True,
            )


def main() -> None:
    """Run the command; a user's mistake is one clear paragraph, never a traceback."""
    # The libraries' own bars would stand in the middle of ours, here and in the processes that we
    # start. tqdm, which they all use, reads this when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    outlive_readers()
    try:
        status = app.main(standalone_mode=False)
    except click.exceptions.Abort:
        _end("stopped.", Interrupted.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "tunesmith":
            raise
        _end(f"{error}: a package is missing or broken. tunesmith doctor says which.", 1)
    except TunesmithError as error:
        heading = ""
        if isinstance(error, ConfigError) and len(error.problems) > 1:
            heading = f"{len(error.problems)} problems:\n"
        _end(f"{heading}{error}", error.exit_code)
    except KeyboardInterrupt:
        _end("stopped.", Interrupted.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def _end(text: str, exit_code: int) -> None:
    label = "stopped" if exit_code == Interrupted.exit_code else "error"
    colour = "yellow" if label == "stopped" else "red"
    body = text.removeprefix("stopped.").strip()
    shown = click.style(label + (":" if body else ""), fg=colour, bold=True)
    echo(f" {body}" if body else "", label=shown, err=True)
    sys.exit(exit_code)
