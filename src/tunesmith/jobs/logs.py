"""What the services log to the terminal: text, or JSON with one object a line."""

from __future__ import annotations

import logging
import sys
import warnings
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pythonjsonlogger.json import JsonFormatter

from tunesmith.settings import Settings

log = logging.getLogger("tunesmith.jobs")

LOUD = ("celery", "kombu", "amqp", "redis")
"""Libraries that log every connection they lose, with a traceback; we say it in a line."""


def log_to_terminal(settings: Settings, component: str) -> None:
    """Let this process log to its standard error, as `settings.log_format` says.

    `component` names the process in every JSON line; a line about an experiment has its id there.
    """
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(levelname)s %(name)s %(message)s",
                rename_fields={"levelname": "level", "name": "logger"},
                static_fields={"component": component},
                timestamp=True,
            )
        )
    else:
        handler.setFormatter(_Text(settings.timezone))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tunesmith").setLevel(logging.INFO)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    warnings.simplefilter("ignore", DeprecationWarning)


def about(experiment_id: str) -> dict[str, Any]:
    """`extra` for a line about an experiment."""
    return {"experiment": experiment_id}


class _Text(logging.Formatter):
    """Times in the user's zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: Any = None) -> str:  # noqa: N802
        """ISO 8601 with seconds and offset."""
        return datetime.fromtimestamp(record.created, self.zone).isoformat(" ", "seconds")

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the id of the experiment that it is about."""
        line = super().format(record)
        experiment = getattr(record, "experiment", None)
        return f"{line} [{experiment}]" if experiment else line
