"""`tunesmith api` and `tunesmith ui`: the REST API alone, the web page alone."""

from __future__ import annotations

from typing import Any

import click
import uvicorn

from tunesmith.api.server import configured
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import gettext
from tunesmith.errors import ServiceError
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.processes import end_when_orphaned
from tunesmith.jobs.services.child import CANT_RUN
from tunesmith.jobs.services.ports import port_is_free, port_taken
from tunesmith.loading import load
from tunesmith.settings import Settings

CLOSING = {"api": 5, "ui": 3}
"""Seconds that requests and open pages get to end; live ones don't end by themselves."""

host_option = click.option(
    "--host", help="Address to listen on; any but this machine's own needs tokens."
)
parent_option = click.option("--parent", type=int, hidden=True, help="Process whose end ends it.")


@click.command(cls=OnceCommand)
@host_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port; by default API_PORT.")
@click.option("--require-tokens", is_flag=True, help="Ask for tokens on this machine too.")
@parent_option
def api(host: str | None, port: int | None, require_tokens: bool, parent: int | None) -> None:
    """Serve the REST API, until Ctrl-C."""
    given = {"api_host": host, "api_port": port, "require_tokens": require_tokens or None}
    _serve("api", "tunesmith.api.app", "API", given, parent, ws="none")


@click.command(cls=OnceCommand)
@host_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port; by default UI_PORT.")
@parent_option
def ui(host: str | None, port: int | None, parent: int | None) -> None:
    """Serve the web page, until Ctrl-C."""
    given = {"ui_host": host, "ui_port": port}
    _serve("ui", "tunesmith.ui.server", gettext("web page"), given, parent)


def _serve(
    name: str, module: str, what: str, given: dict[str, Any], parent: int | None, **options: Any
) -> None:
    """Serve the application of `module`, which is loaded here: no other command waits for it."""
    settings = Settings.read().model_copy(update={k: v for k, v in given.items() if v is not None})
    host, port = getattr(settings, f"{name}_host"), getattr(settings, f"{name}_port")
    log_to_terminal(settings, name)
    if not port_is_free(host, port):
        raise port_taken(what, port, f"{name.upper()}_PORT")
    if parent is not None:
        end_when_orphaned(parent)
    try:
        app = load(module).create_app(settings)
    except ServiceError as error:
        error.exit_code = CANT_RUN  # `tunesmith up` need not try it again
        raise
    options["timeout_graceful_shutdown"] = CLOSING[name]
    uvicorn.Server(configured(app, settings, host, port, **options)).run()
