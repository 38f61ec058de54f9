"""`tunesmith db`: the store upgraded, backed up and restored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click

from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import confirm, echo
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.backup import Contents, back_up, damage, restore, restore_damaged
from tunesmith.tracking.database import Database
from tunesmith.tracking.entities import ExperimentStatus, Filters
from tunesmith.tracking.schema import HEAD
from tunesmith.tracking.store import Store

_NOUNS = {
    "experiments": "experiments",
    "metrics": "values measured on the way",
    "dataset_versions": "dataset versions",
    "tokens": "tokens",
    "audit": "entries of the audit trail",
}
"""Table → what people call its rows."""

_file = click.argument("file", type=click.Path(path_type=Path))


@click.group(cls=OnceGroup)
def db() -> None:
    """Upgrade, back up and restore the store: the record of all experiments."""


@db.command()
def upgrade() -> None:
    """Bring the store to this version's schema, or make it where there is none.

    Every other command and service does so too when it starts; this one does it alone, before they
    start, and says what it did.
    """
    settings = Settings.read()
    with closing(Database(settings.store_url, upgrade=False)) as database:
        before = database.revision
    with Store(settings.store_url) as store:
        if before == HEAD:
            echo(f"{store.name} is at schema {HEAD} already")
            return
        write_down(store, actor(), "store.upgrade", store.name, before=before, after=HEAD)
        echo(f"{store.name}  {f'schema {before}' if before else 'nothing'} → schema {HEAD}")


@db.command()
@_file
def backup(file: Path) -> None:
    """Write all records of the store to the new FILE, while others go on writing.

    FILE is an SQLite database, whatever the store is kept in. It holds the hashes of access tokens:
    only its owner may read it.
    """
    settings = Settings.read()
    contents = back_up(settings.store_url, file)
    if contents.revision == HEAD:
        with Store(settings.store_url) as store:
            write_down(store, actor(), "store.backup", str(file.absolute()), rows=_counts(contents))
    echo(f"{file}  {file.stat().st_size:,} bytes, schema {contents.revision}")
    _show(contents)
    echo("Not in it; keep these too:")
    for what, place in _elsewhere(settings):
        echo(f"  {what}  {place}")


@db.command("restore")
@_file
@click.option("--yes", is_flag=True, help="Replace a store that holds experiments without asking.")
def restore_(file: Path, yes: bool) -> None:
    """Put what FILE holds into the store, all of it or nothing.

    A store that holds experiments is replaced when you say so, and is backed up before. FILE may
    come from the other kind of database: SQLite or PostgreSQL.
    """
    settings = Settings.read()
    if wrong := damage(settings.store_url):
        contents = _over_damaged(file, settings, wrong, yes=yes)
        with Store(settings.store_url) as store:
            _tell_restored(store, file, contents, settings)
        return
    with Store(settings.store_url) as store:
        held = store.count()
        if held:
            if not yes:
                confirm(f"{_about(store, held)} Replace them all by {file}?")
            stamp = datetime.now(settings.timezone)
            aside = settings.results_dir / f"replaced-{stamp:%Y%m%d-%H%M%S}.db"
            back_up(settings.store_url, aside)
            echo(f"What it held is in {aside}")
        contents = restore(file, settings.store_url, replace=bool(held))
        _tell_restored(store, file, contents, settings)


def _over_damaged(file: Path, settings: Settings, wrong: str, *, yes: bool) -> Contents:
    """Put what `file` holds in the place of a damaged store, which is kept beside."""
    stamp = datetime.now(settings.timezone)
    aside = settings.results_dir / f"damaged-{stamp:%Y%m%d-%H%M%S}.db"
    echo(f"The store is damaged ({wrong}).")
    if not yes:
        confirm(
            f"Put {file} in its place? Stop the services before (tunesmith down); the damaged file "
            f"becomes {aside}.",
        )
    contents = restore_damaged(file, settings.store_url, aside)
    echo(f"The damaged file is {aside}")
    return contents


def _tell_restored(store: Store, file: Path, contents: Contents, settings: Settings) -> None:
    """Write down and say what was restored."""
    write_down(store, actor(), "store.restore", str(file.absolute()), rows=_counts(contents))
    echo(f"{store.name}  restored from {file}")
    _show(contents)
    echo("The files that it tells of must be there too:")
    for what, place in _elsewhere(settings):
        echo(f"  {what}  {place}")


def _about(store: Store, held: int) -> str:
    running = store.count(Filters(status=ExperimentStatus.RUNNING))
    ends = f", of which {running:,} run now" if running else ""
    return f"{store.name} holds {held:,} experiments{ends}."


def _show(contents: Contents) -> None:
    for table, noun in _NOUNS.items():
        if table in contents.rows:
            echo(f"  {contents.rows[table]:>9,}  {noun}")


def _counts(contents: Contents) -> Mapping[str, int]:
    return {table: contents.rows[table] for table in _NOUNS if table in contents.rows}


def _elsewhere(settings: Settings) -> list[tuple[str, str]]:
    """What the store tells of and doesn't hold, and where it is."""
    places = [("experiments' files", str(settings.results_dir.absolute()))]
    if settings.artifacts:
        places.append(("their copies      ", settings.artifacts))
    datasets = settings.datasets_root
    where = datasets if "://" in datasets else str(Path(datasets).absolute())
    return [*places, ("dataset versions  ", where)]
