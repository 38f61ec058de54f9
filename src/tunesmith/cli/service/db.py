"""`tunesmith db`: the store upgraded, backed up and restored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click

from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import confirm, echo, gettext, localized
from tunesmith.cli.console.records import record
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.database.backup import Contents, back_up, damage, restore, restore_damaged
from tunesmith.store.database.connection import Database
from tunesmith.store.database.schema import HEAD
from tunesmith.store.entities.experiments import Filters
from tunesmith.store.store import Store

_NOUNS = {
    "experiments": say("experiments"),
    "metrics": say("values measured on the way"),
    "dataset_versions": say("dataset versions"),
    "tokens": say("access tokens"),
    "audit": say("entries of the audit trail"),
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
            echo("{name} is at schema {head} already", name=store.name, head=HEAD)
            return
        record(store, "store.upgrade", store.name, before=before, after=HEAD)
        was = gettext("schema {before}", before=before) if before else gettext("nothing")
        echo("{name}  {was} → schema {head}", name=store.name, was=was, head=HEAD)


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
            record(store, "store.backup", str(file.absolute()), rows=_counts(contents))
    size, revision = file.stat().st_size, contents.revision
    echo("{file}  {size:,} bytes, schema {revision}", file=file, size=size, revision=revision)
    _show(contents, gettext("Not in it; keep these too:"), settings)


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
            about = _about(store, held)
            confirm("{about} Replace them all by {file}?", yes=yes, about=about, file=file)
            aside = _aside("replaced", settings)
            back_up(settings.store_url, aside)
            echo("What it held is in {aside}", aside=aside)
        contents = restore(file, settings.store_url, replace=bool(held))
        _tell_restored(store, file, contents, settings)


def _over_damaged(file: Path, settings: Settings, wrong: str, *, yes: bool) -> Contents:
    """Put what `file` holds in the place of a damaged store, which is kept beside."""
    aside = _aside("damaged", settings)
    echo("The store is damaged ({wrong}).", wrong=wrong)
    confirm(
        "Put {file} in its place? Stop the services before (tunesmith down); the "
        "damaged file becomes {aside}.",
        yes=yes, file=file, aside=aside,
    )  # fmt: skip
    contents = restore_damaged(file, settings.store_url, aside)
    echo("The damaged file is {aside}", aside=aside)
    return contents


def _tell_restored(store: Store, file: Path, contents: Contents, settings: Settings) -> None:
    """Write down and say what was restored."""
    record(store, "store.restore", str(file.absolute()), rows=_counts(contents))
    echo("{name}  restored from {file}", name=store.name, file=file)
    _show(contents, gettext("The files that it tells of must be there too:"), settings)


def _about(store: Store, held: int) -> str:
    running = store.count(Filters(status=ExperimentStatus.RUNNING))
    ends = gettext(", of which {running:,} run now", running=running) if running else ""
    return gettext(
        "{name} holds {held:,} experiments{ends}.", name=store.name, held=held, ends=ends
    )


def _aside(why: str, settings: Settings) -> Path:
    return settings.results_dir / f"{why}-{datetime.now(settings.timezone):%Y%m%d-%H%M%S}.db"


def _show(contents: Contents, heading: str, settings: Settings) -> None:
    """What the store holds, then what it refers to and where that is."""
    for table, count in _counts(contents).items():
        echo(f"  {count:>9,}  {localized(_NOUNS[table])}")
    echo(heading)
    files = gettext("experiments' files")
    echo(f"  {files}  {settings.results_dir.absolute()}")
    if settings.artifacts:
        echo(f"  {gettext('their copies      ')}  {settings.artifacts}")
    datasets = settings.datasets_root
    where = datasets if "://" in datasets else Path(datasets).absolute()
    echo(f"  {gettext('dataset versions  ')}  {where}")


def _counts(contents: Contents) -> Mapping[str, int]:
    return {table: contents.rows[table] for table in _NOUNS if table in contents.rows}
