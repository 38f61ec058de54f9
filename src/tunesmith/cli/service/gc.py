"""`tunesmith gc`: shows what nobody needs any more, and deletes it on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.filesize import decimal

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, echo_json, gettext, ngettext, word
from tunesmith.cli.console.records import record
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal
from tunesmith.errors import StorageError
from tunesmith.experiments.cleanup.leftovers import Leftover
from tunesmith.experiments.cleanup.retention import Policy, find_leftovers
from tunesmith.messages import joined
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@click.command(cls=OnceCommand)
@click.option("--delete", is_flag=True, help="Delete it. Without this nothing is changed.")
@click.option(
    "--keep-checkpoints",
    type=click.IntRange(1),
    default=Policy.keep_checkpoints,
    show_default=True,
    help="Newest checkpoints that failed and cancelled experiments keep.",
)
@click.option(
    "--checkpoint-days",
    type=click.FloatRange(0),
    help="Days after their end when they lose their last one too; left out: never.",
)
@click.option(
    "--cache-days",
    type=click.FloatRange(1),
    default=Policy.cache_days,
    show_default=True,
    help="Days for which converted models, fetched adapters and encoded rows are kept unused.",
)
@click.option(
    "--unrecorded",
    is_flag=True,
    help="Also experiments' folders that the store doesn't know. They are all that a lost database "
    "leaves: see that yours is the right one.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, one thing a line.")
def gc(
    delete: bool,
    keep_checkpoints: int,
    checkpoint_days: float | None,
    cache_days: float,
    unrecorded: bool,
    as_json: bool,
) -> None:
    """Show what is left over: checkpoints, what was half written or deleted, uploads, cache.

    It is safe beside running workers: nothing that a live experiment needs goes, and what failed or
    was cancelled can be resumed as before, unless --checkpoint-days says otherwise. It looks at
    this machine and the object store: run it on each machine that has a results folder of its own.
    """
    settings = Settings.read()
    policy = Policy(keep_checkpoints, checkpoint_days, cache_days, unrecorded)
    with Store(settings.store_url) as store:
        found = find_leftovers(store, settings, policy)
        _show(found, as_json=as_json)
        if not delete:
            more = gettext("; tunesmith gc --delete deletes it")
            echo(_total(found, more, deleted=False), err=True)
            return
        gone, failed = _delete(found)
        if gone:
            freed = sum(one.size for one in gone)
            where = str(settings.results_dir.absolute())
            about = {"deleted": len(gone), "bytes": freed, "policy": asdict(policy)}
            record(store, "storage.gc", where, **about)
    stayed = len(found) - len(gone)
    more = gettext("; {stayed:,} stayed", stayed=stayed) if stayed else ""
    echo(_total(gone, more, deleted=True), err=True)
    if failed:
        raise StorageError(joined(failed))


def _delete(found: Sequence[Leftover]) -> tuple[list[Leftover], list[str]]:
    """Delete what is still left over: what went, and what went wrong."""
    gone, failed = [], []
    for one in found:
        try:
            if one.remove():
                gone.append(one)
        except StorageError as error:
            failed.append(str(error))
    return gone, failed


def _show(found: Sequence[Leftover], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            echo_json({"kind": one.kind, "place": one.place, "bytes": one.size, "why": one.why})
        return
    table = FittedTable(
        Column("size", right=True), Column("what", wraps=True), Column("where", wraps=True),
        Column("why", wraps=True),
    )  # fmt: skip
    for one in found:
        table.add_row(decimal(one.size), word(one.kind), one.place, one.why)
    if found:
        Terminal().print(table)


def _total(found: Sequence[Leftover], more: str, *, deleted: bool) -> str:
    if not found:
        return gettext("nothing deleted") + more if deleted else gettext("nothing would go")
    things = ngettext("{n:,} thing", "{n:,} things", n=len(found))
    size = decimal(sum(one.size for one in found))
    if deleted:
        return gettext("{things}, {size}, deleted", things=things, size=size) + more
    return gettext("{things}, {size}, would go", things=things, size=size) + more
