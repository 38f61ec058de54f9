"""`tunesmith tokens`: who may use the API from other machines, and what they may do."""

from __future__ import annotations

from typing import TextIO

import click

from tunesmith.api.access.tokens import create_token, keep_token
from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, gettext, word
from tunesmith.cli.console.records import opened, record
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal
from tunesmith.files.environment import this_person
from tunesmith.schemas.enums import Role


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
    with opened() as (store, _):
        if given is not None:
            new = keep_token(name, Role(role), given.read().strip(), store, this_person())
            if new:
                record(store, "token.create", name, role=role)
            as_before = "" if new else gettext(", as before")
            echo(gettext("{name} is {role}", name=name, role=role) + as_before)
            return
        token, secret = create_token(name, Role(role), store, this_person())
        record(store, "token.create", token.name, role=role)
    echo(
        "{name} is {role}. This is shown once; keep it safe:",
        name=token.name,
        role=token.role,
        err=True,
    )
    echo(secret)
    echo(gettext("Send it as  Authorization: Bearer ts_…"), err=True)


@tokens.command("list")
def list_() -> None:
    """List all tokens, the revoked too; never their secrets."""
    with opened() as (store, settings):
        found = store.access.tokens()
    console = Terminal()
    if not found:
        console.say("No token yet; make one with: tunesmith tokens create NAME")
        return
    table = FittedTable(
        Column("name", cut=True), Column("role"), Column("begins"), Column("created", spare=1),
        Column("last used"), Column(""),
    )  # fmt: skip
    for token in found:
        used = token.last_used_at
        table.add_row(
            token.name,
            word(token.role),
            f"ts_{token.prefix}",
            f"{token.created_at.astimezone(settings.timezone):%Y-%m-%d %H:%M}",
            f"{used.astimezone(settings.timezone):%Y-%m-%d %H:%M}" if used else gettext("never"),
            gettext("revoked") if token.revoked_at else "",
        )
    console.print(table)


@tokens.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Let the token of NAME open nothing any more, within seconds."""
    with opened() as (store, _):
        store.access.revoke(name)
        record(store, "token.revoke", name)
    echo("{name} is revoked", name=name)
