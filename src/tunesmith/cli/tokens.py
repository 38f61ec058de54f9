"""`tunesmith tokens`: who may use the API from other machines, and what they may do."""

from __future__ import annotations

from typing import TextIO

import click

from tunesmith.api.tokens import create_token, keep_token
from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.cli.tables import Column, FittedTable
from tunesmith.cli.terminal import Terminal
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.store import Store


@click.group(cls=OnceGroup)
def tokens() -> None:
    """Make, list and revoke access tokens of the REST API."""


@tokens.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.MEMBER),
    show_default=True,
    help="viewer looks; member submits, and changes their own; admin does everything.",
)
@click.option(
    "--from",
    "given",
    type=click.File(),
    help="Take the token that is in this file (- is standard input) instead of making one.",
)
def create(name: str, role: str, given: TextIO | None) -> None:
    """Make a token for NAME, and show it, this once.

    With --from nothing is shown, and a token that is known already stays as it is.
    """
    with Store(Settings.read().store_url) as store:
        if given is not None:
            new = keep_token(name, Role(role), given.read().strip(), store, actor())
            if new:
                write_down(store, actor(), "token.create", name, role=role)
            echo(f"{name} is {role}" + ("" if new else ", as before"))
            return
        token, secret = create_token(name, Role(role), store, actor())
        write_down(store, actor(), "token.create", token.name, role=role)
    echo(f"{token.name} is {token.role}. This is shown once; keep it safe:", err=True)
    echo(secret)
    echo("Send it as  Authorization: Bearer ts_…", err=True)


@tokens.command("list")
def list_() -> None:
    """List all tokens, the revoked too; never their secrets."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        found = store.access.tokens()
    console = Terminal(highlight=False)
    if not found:
        console.print("No token yet; make one with: tunesmith tokens create NAME")
        return
    table = FittedTable(
        Column("name", cut=True), Column("role"), Column("begins"), Column("created", spare=1),
        Column("last used"), Column(""),
    )  # fmt: skip
    for token in found:
        used = token.last_used_at
        table.add_row(
            token.name,
            str(token.role),
            f"ts_{token.prefix}",
            f"{token.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M}",
            f"{used.astimezone(settings.timezone):%Y-%m-%d %H:%M}" if used else "never",
            "revoked" if token.revoked_at else "",
        )
    console.print(table)


@tokens.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Let the token of NAME open nothing any more, within seconds."""
    with Store(Settings.read().store_url) as store:
        store.access.revoke(name)
        write_down(store, actor(), "token.revoke", name)
    echo(f"{name} is revoked")
