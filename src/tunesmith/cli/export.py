"""`tunesmith export`: an adapter in another form, verified before it is called done."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from tunesmith.serving.export.merged import export_merged
from tunesmith.serving.export.work import FORMATS, Exported, begin
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store

TARGETS = {"merged": ("{name}-merged", export_merged)}
"""Target → where it goes by itself, and what makes it."""


@click.command()
@click.argument("reference", metavar="ID|NAME|latest")
@click.option("--to", "target", type=click.Choice(tuple(TARGETS)), required=True)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH",
    help="Where to; left out: in this folder, named after the experiment.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there already.")
@click.option(
    "--dtype", type=click.Choice(FORMATS),
    help="Number format of the weights; left out: the one that the base model is stored in.",
)  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(min=1), metavar="N",
    help="Verify by the first N held-out rows; left out: by all.",
)  # fmt: skip
@click.option("--device", help="cpu, cuda, cuda:N or mps; left out: cpu.")
@click.option("--json", "as_json", is_flag=True, help="The result for programs.")
def export(
    reference: str,
    target: str,
    output: Path | None,
    force: bool,
    dtype: str | None,
    rows: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Export the adapter of an experiment.

    Whatever is exported must answer the held-out rows as the adapter does, within a tolerance that
    is said; otherwise nothing is left of it, and the exit code is 1.
    """
    settings = Settings.read()
    errors = Console(stderr=True)
    with Store(settings.store_url) as store:
        experiment = store.find(reference)
    with errors.status("looking at the adapter") as status:
        name, make = TARGETS[target]
        work = begin(
            experiment, settings, weights=dtype, device=device, rows=rows, say=status.update
        )
        done = make(work, output or Path(name.format(name=experiment.name)), force=force)
    _tell(done, as_json)


def _tell(done: Exported, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
        return
    click.echo(f"{done.target}  {done.place}")
    click.echo(f"  verified: {done.agreement}")
    if done.note:
        click.echo(f"  {done.note}")
