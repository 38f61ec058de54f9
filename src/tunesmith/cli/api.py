"""`tunesmith api`: the REST API alone."""

from __future__ import annotations

import click
import uvicorn

from tunesmith.api.app import create_app
from tunesmith.api.server import configured
from tunesmith.cli.once import OnceCommand
from tunesmith.errors import ServiceError
from tunesmith.jobs.child import CANT_RUN
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.ports import port_is_free, port_taken
from tunesmith.jobs.processes import end_when_orphaned
from tunesmith.settings import Settings

CLOSING = 5
"""Seconds that requests get to end; live streams don't end by themselves."""


@click.command(cls=OnceCommand)
@click.option("--host", help="Address to listen on; any but this machine's own needs tokens.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; by default API_PORT.")
@click.option("--require-tokens", is_flag=True, help="Ask for tokens on this machine too.")
@click.option("--parent", type=int, hidden=True, help="Process whose end ends it.")
def api(host: str | None, port: int | None, require_tokens: bool, parent: int | None) -> None:
    """Serve the REST API, until Ctrl-C."""
    given = {"api_host": host, "api_port": port, "require_tokens": require_tokens or None}
    settings = Settings.read().model_copy(update={k: v for k, v in given.items() if v is not None})
    log_to_terminal(settings, "api")
    if not port_is_free(settings.api_host, settings.api_port):
        raise port_taken("API", settings.api_port, "API_PORT")
    if parent is not None:
        end_when_orphaned(parent)
    try:
        app = create_app(settings)
    except ServiceError as error:
        error.exit_code = CANT_RUN  # `tunesmith up` need not try it again
        raise
    config = configured(
        app, settings, settings.api_host, settings.api_port,
        ws="none", timeout_graceful_shutdown=CLOSING,
    )  # fmt: skip
    uvicorn.Server(config).run()
