"""`tunesmith experiments export|import`: an experiment as one file, and back from it."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, gettext, word
from tunesmith.cli.console.records import opened
from tunesmith.errors import DataError
from tunesmith.experiments.archives.importing import import_folder
from tunesmith.experiments.archives.packing import export_experiment
from tunesmith.experiments.archives.unpacking import import_archive
from tunesmith.files.folder import ExperimentFolder
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@click.command("export", cls=OnceCommand)
@click.argument("reference", metavar="ID|NAME|latest")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Where to; left out: in this folder, named after the experiment's folder.",
)  # fmt: skip
@click.option(
    "--data/--no-data", default=None,
    help="Whether the rows of its data come along; left out: up to 100 MiB do.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there already.")
def export(reference: str, output: Path | None, data: bool | None, force: bool) -> None:
    """Pack an ended experiment into one file, with data, adapter, predictions and log.

    Another machine takes it in with `tunesmith experiments import FILE`, and repeats it with
    `tunesmith rerun`.
    """
    with opened() as (store, settings):
        experiment = store.find(reference)
    name = f"{Path(experiment.directory or experiment.name).name}.zip"
    packed = export_experiment(experiment, output or Path(name), settings, data=data, force=force)
    rows = gettext("with the rows of its data")
    if not packed.with_data:
        rows = gettext("without the rows of its data: {why}", why=packed.why_no_data)
    files, path = packed.files, packed.path
    echo("{id}  {path}  {files} files, {rows}", id=experiment.id, path=path, files=files, rows=rows)


@click.command("import", cls=OnceCommand)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
def import_(sources: tuple[Path, ...]) -> None:
    """Put experiments into the store, for example after the database was lost.

    SOURCES are experiment folders, folders that hold some, such as results/, or files that
    `tunesmith experiments export` made: they are unpacked into the results folder.
    """
    settings = Settings.read()
    found = [inner for source in sources for inner in _each(source)]
    with Store(settings.store_url) as store:
        for source in found:
            if source.is_file():
                experiment = import_archive(source, store, settings)
            else:
                experiment = import_folder(source, store)
            echo(f"{experiment.id}  {word(experiment.status):<9}  {experiment.directory}")


def _each(source: Path) -> list[Path]:
    if source.is_file() or ExperimentFolder(source).record.is_file():
        return [source]
    inner = sorted(record.parent for record in source.glob("*/experiment.json"))
    if not inner:
        raise DataError(
            "{source} is neither an experiment's folder (experiment.json), nor holds "
            "any, nor an archive of one.",
            source=source,
        )
    return inner
