"""What the services log to the terminal: text, or JSON with one object a line."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tunesmith.files.log import LineFormatter
from tunesmith.settings import Settings

log = logging.getLogger("tunesmith.jobs")

LOUD = ("celery", "kombu", "amqp", "redis")
"""Libraries that log a traceback for every lost connection; ours is one line."""


def log_to_terminal(settings: Settings, component: str) -> None:
    """Let this process log to its standard error, as `settings.log_format` says.

    `component` names the process in every JSON line; a line about an experiment has its id there.
    """
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_Json(settings, component=component))
    else:
        handler.setFormatter(_Text(settings.timezone, settings.token))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tunesmith").setLevel(logging.INFO)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    warnings.simplefilter("ignore", DeprecationWarning)


def log_training(settings: Settings, experiment_id: str) -> None:
    """Let a training process print its log too, where `settings.log_format` is json.

    Each line has the experiment's id. As text the log stands in `logs.txt`, and that is enough.
    """
    if settings.log_format != "json":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(settings, component="training", experiment=experiment_id))
    logging.getLogger("tunesmith").addHandler(handler)


def about(experiment_id: str) -> dict[str, Any]:
    """`extra` for a line about an experiment."""
    return {"experiment": experiment_id}


class _Json(JsonFormatter):
    """One object a line; the Hugging Face token never shown."""

    def __init__(self, settings: Settings, **fields: str) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields=fields,
            timestamp=True,
        )
        self.secret = settings.token

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the secret."""
        line = super().format(record)
        return line.replace(self.secret, "***") if self.secret else line


class _Text(LineFormatter):
    """Lines with the id of the experiment that they are about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with that id."""
        line = super().format(record)
        experiment = getattr(record, "experiment", None)
        return f"{line} [{experiment}]" if experiment else line
