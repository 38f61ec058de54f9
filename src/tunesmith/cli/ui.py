"""`tunesmith ui`: the web page alone."""

from __future__ import annotations

import importlib

import click
import uvicorn

from tunesmith.api.server import configured
from tunesmith.cli.once import OnceCommand
from tunesmith.errors import ServiceError
from tunesmith.jobs.child import CANT_RUN
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.ports import port_is_free, port_taken
from tunesmith.jobs.processes import end_when_orphaned
from tunesmith.settings import Settings

CLOSING = 3
"""Seconds that open pages get to end; they don't end by themselves."""


@click.command(cls=OnceCommand)
@click.option("--host", help="Address to listen on; any but this machine's own needs tokens.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; by default UI_PORT.")
@click.option("--parent", type=int, hidden=True, help="Process whose end ends it.")
def ui(host: str | None, port: int | None, parent: int | None) -> None:
    """Serve the web page, until Ctrl-C."""
    given = {"ui_host": host, "ui_port": port}
    settings = Settings.read().model_copy(update={k: v for k, v in given.items() if v is not None})
    log_to_terminal(settings, "ui")
    if not port_is_free(settings.ui_host, settings.ui_port):
        raise port_taken("web page", settings.ui_port, "UI_PORT")
    if parent is not None:
        end_when_orphaned(parent)
    # Streamlit takes a second to import, which no other command should pay for.
    try:
        app = importlib.import_module("tunesmith.ui.server").create_app(settings)
    except ServiceError as error:
        error.exit_code = CANT_RUN  # `tunesmith up` need not try it again
        raise
    config = configured(
        app, settings, settings.ui_host, settings.ui_port, timeout_graceful_shutdown=CLOSING
    )
    uvicorn.Server(config).run()
