"""`tunesmith gc`: what nobody needs any more, shown; and deleted when told to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.filesize import decimal

from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.tables import Column, FittedTable
from tunesmith.cli.terminal import Terminal
from tunesmith.errors import StorageError
from tunesmith.experiments.leftovers import Leftover
from tunesmith.experiments.retention import Policy, find_leftovers
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.store import Store


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
            echo(_total(found, "would go", "; tunesmith gc --delete deletes it"), err=True)
            return
        gone, failed = _delete(found)
        if gone:
            freed = sum(one.size for one in gone)
            write_down(store, actor(), "storage.gc", str(settings.results_dir.absolute()),
                       deleted=len(gone), bytes=freed, policy=asdict(policy))  # fmt: skip
    stayed = len(found) - len(gone)
    echo(_total(gone, "deleted", f"; {stayed:,} stayed" if stayed else ""), err=True)
    if failed:
        raise StorageError("\n".join(failed))


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
            values = {"kind": one.kind, "place": one.place, "bytes": one.size, "why": one.why}
            echo(json.dumps(values, ensure_ascii=False))
        return
    table = FittedTable(
        Column("size", right=True), Column("what", wraps=True), Column("where", wraps=True),
        Column("why", wraps=True),
    )  # fmt: skip
    for one in found:
        table.add_row(decimal(one.size), str(one.kind), one.place, one.why)
    if found:
        Terminal(highlight=False).print(table)


def _total(found: Sequence[Leftover], verb: str, more: str) -> str:
    if not found:
        return f"nothing {verb}{more if verb == 'deleted' else ''}"
    things = "1 thing" if len(found) == 1 else f"{len(found):,} things"
    return f"{things}, {decimal(sum(one.size for one in found))}, {verb}{more}"
