"""`tunesmith serve`: adapters kept loaded, answered for as OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import click
import uvicorn

from tunesmith.api.access.auth import Authenticator
from tunesmith.api.openai.app import create_app
from tunesmith.api.server import configured
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import gettext
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.console.usable import USABLE, find_usable
from tunesmith.errors import invalid
from tunesmith.jobs.logs import log_to_terminal
from tunesmith.jobs.services.ports import port_is_free, port_taken
from tunesmith.loading import load
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.asking import BASE, Served
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

CLOSING = 5
"""Seconds that answers get to end; then they are broken off."""


@click.command(cls=OnceCommand)
@click.argument("references", metavar=f"[MODEL=]{USABLE}…", nargs=-1, required=True)
@click.option("--base", is_flag=True, help="The base models answer too, as MODEL:base.")
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address to listen on; any but this machine's own needs tokens.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), help="Port; by default SERVE_PORT.")
@click.option("--require-tokens", is_flag=True, help="Ask for tokens on this machine too.")
@click.option("--device", help="cpu, cuda, cuda:N or mps; left out: the best one here.")
def serve(
    references: tuple[str, ...],
    base: bool,
    host: str,
    port: int | None,
    require_tokens: bool,
    device: str | None,
) -> None:
    """Keep the adapters of experiments loaded and answer for them, until Ctrl-C.

    Adapters with the same base model share it. POST /v1/chat/completions is OpenAI's, for adapters
    of chat models; POST /predict/MODEL asks any. A model is called by what stands before =, else
    by its registered name or its experiment's; the experiment's id always does too.

    \b
    tunesmith serve latest
    tunesmith serve support=3f9c21d07a4e sales=2b7e15162a6f --base
    """  # noqa: D301 - click's mark of lines to leave alone is a real backspace
    settings = Settings.read()
    given = {
        "api_port": port or settings.serve_port, "api_host": host,
        "require_tokens": require_tokens or settings.require_tokens,
    }  # fmt: skip
    settings = settings.model_copy(update=given)
    log_to_terminal(settings, "serve")
    console = Terminal(stderr=True, soft_wrap=True)
    with Store(settings.store_url) as store:
        authenticator = Authenticator(settings, store)
        if not port_is_free(host, settings.api_port):
            raise port_taken("models", settings.api_port, "SERVE_PORT")
        adapters = _adapters(references, store, settings, console)
        with console.status("loading") as status:
            engine = load("tunesmith.serving.engine").Engine(
                settings, adapters, base=base, device=device,
                loading=lambda name: status.update(gettext("loading {name}", name=name)),
            )  # fmt: skip
        _announce(console, engine.models, engine.notes, settings.api_address)
        app = create_app(engine, authenticator)
        config = configured(
            app, settings, host, settings.api_port,
            ws="none", timeout_graceful_shutdown=CLOSING + 5,
        )  # fmt: skip
        with suppress(KeyboardInterrupt):  # it has stopped by then
            _Server(config, engine.close).run()


class _Server(uvicorn.Server):
    """Breaks off answers that take too long when it stops: who waits for one gets the reason."""

    def __init__(self, config: uvicorn.Config, break_off: Callable[[], None]) -> None:
        super().__init__(config)
        self._break_off = break_off

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers end, for `CLOSING` seconds."""
        asyncio.get_running_loop().call_later(CLOSING, self._break_off)
        await super().shutdown(sockets)


def _adapters(
    references: Sequence[str], store: Store, settings: Settings, console: Terminal
) -> dict[str, tuple[SavedAdapter, int]]:
    """The adapters by the names that they are called by, and when each was trained.

    Raises ConfigError when two would have one name, or one that of a base model.
    """
    asked: list[tuple[str, Experiment, str | None]] = []
    for reference in references:
        name, _, wanted = reference.rpartition("=")
        experiment, version = find_usable(wanted, store, console)
        weights = None if version is None else version.weights_hash
        asked.append((name or (version.name if version else experiment.name), experiment, weights))
    often = Counter(name for name, *_ in asked)
    found: dict[str, tuple[SavedAdapter, int]] = {}
    for name, experiment, weights in asked:
        called = experiment.id if often[name] > 1 and name == experiment.name else name
        if called.endswith(BASE):
            message = gettext("a name that ends with {base} is a base model's", base=BASE)
            raise invalid("MODEL", message, called, gettext("another name, as MODEL=ID"))
        if called in found:
            message = gettext("two models are called this")
            raise invalid("MODEL", message, called, gettext("a name for each, MODEL=ID"))
        trained = experiment.finished_at or experiment.created_at
        found[called] = (locate_adapter(experiment, settings, weights), int(trained.timestamp()))
    return found


def _announce(
    console: Terminal, models: Sequence[Served], notes: Mapping[str, str], address: str
) -> None:
    """Say what can be asked, and where."""
    for model in models:
        where = "/v1/chat/completions" if model.chats else f"/predict/{model.name}"
        base = gettext("the base model {base_model}", base_model=model.base_model)
        kind = base if model.base else model.task
        console.say("  {name}  {kind}, POST {where}", name=model.name, kind=kind, where=where)
        for said in model.framing.sentences("server") if model.framing else ():
            console.print(f"    {said}", markup=False)
        for note in model.notes:
            console.say("note: {name}: {note}", name=model.name, note=note)
    for name, note in notes.items():
        console.say("note: no {name}:base: {note}", name=name, note=note)
    console.say(
        "  address  {address}/v1, its page {address}/docs; stop it with Ctrl-C", address=address
    )
