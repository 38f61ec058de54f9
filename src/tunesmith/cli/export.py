"""`tunesmith export`: an adapter in another form, verified before it is called done."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.usable import USABLE, find_usable
from tunesmith.errors import UserError
from tunesmith.serving.export.gguf_file import FORMATS as GGUF_FORMATS
from tunesmith.serving.export.gguf_file import export_gguf
from tunesmith.serving.export.hub import check_hub, export_hub
from tunesmith.serving.export.merged import export_merged
from tunesmith.serving.export.onnx_model import export_onnx
from tunesmith.serving.export.package import export_package
from tunesmith.serving.export.work import FORMATS, Exported, Work, begin
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store

PLACES = {"merged": "{}-merged", "onnx": "{}-onnx", "gguf": "{}.gguf", "package": "{}.zip"}
"""Target → where it goes by itself, named after the experiment or the version."""


@click.command(cls=OnceCommand)
@click.argument("reference", metavar=USABLE)
@click.option("--to", "target", type=click.Choice((*PLACES, "hub")), required=True)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH",
    help="Where to; left out: in this folder, named after the experiment or the version.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there already.")
@click.option(
    "--dtype", type=click.Choice(tuple(GGUF_FORMATS)),
    help="Number format of merged and gguf weights; left out: merged as the base model is stored, "
    "gguf float16.",
)  # fmt: skip
@click.option("--repo", metavar="OWNER/NAME", help="The repository of the hub, for --to hub.")
@click.option("--private", is_flag=True, help="Make that repository private.")
@click.option("--with-base", is_flag=True, help="Put the base model into the package too.")
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
    repo: str | None,
    private: bool,
    with_base: bool,
    rows: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Export the adapter of an experiment, or a version of a registered one.

    Whatever is exported must answer the held-out rows as the adapter does, within a tolerance that
    is said; otherwise nothing is left of it, and the exit code is 1.
    """
    if dtype and (target not in ("merged", "gguf") or (target, dtype) == ("merged", "q8_0")):
        raise UserError(f"--dtype {dtype} can't be had --to {target}: {_FORMATS_OF[target]}.")
    if with_base and target != "package":
        raise click.UsageError("--with-base goes with --to package.")
    if (repo is None) == (target == "hub"):
        raise click.UsageError("--repo OWNER/NAME goes with --to hub, and --to hub with it.")
    settings = Settings.read()
    if repo is not None:
        check_hub(repo, settings)
    errors = Terminal(stderr=True)
    with Store(settings.store_url) as store:
        experiment, version = find_usable(reference, store, errors)
    with errors.status("looking at the adapter") as status:
        work = begin(
            experiment,
            settings,
            weights="float32" if target in ("onnx", "gguf") else dtype,
            device=device,
            rows=rows,
            weights_hash=None if version is None else version.weights_hash,
            say=status.update,
        )
        if repo is not None:
            done = export_hub(work, repo, settings, force=force, private=private)
        else:
            name = experiment.name if version is None else f"{version.name}-{version.number}"
            place = output or Path(PLACES[target].format(name))
            done = _export(work, target, place, dtype, force=force, with_base=with_base)
    _tell(done, as_json)


_FORMATS_OF = {
    "merged": f"it takes {', '.join(FORMATS)}",
    "onnx": "the graph is float32",
    "package": "the adapter goes as it is",
    "hub": "the adapter goes as it is",
}


def _export(
    work: Work, target: str, place: Path, dtype: str | None, *, force: bool, with_base: bool
) -> Exported:
    match target:
        case "onnx":
            return export_onnx(work, place, force=force)
        case "gguf":
            return export_gguf(work, place, force=force, form=dtype or "float16")
        case "package":
            return export_package(work, place, force=force, base=with_base)
        case _:
            return export_merged(work, place, force=force)


def _tell(done: Exported, as_json: bool) -> None:
    if as_json:
        echo(json.dumps(asdict(done), indent=2))
        return
    echo(f"{done.target}  {done.place}")
    echo(f"  verified: {done.agreement}")
    if done.note:
        echo(f"  {done.note}")
