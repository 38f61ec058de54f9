"""`tunesmith export`: an adapter in another form, verified before it is called done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo, echo_json, gettext, localized
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.cli.console.usable import USABLE, find_usable
from tunesmith.errors import UserError
from tunesmith.loading import load
from tunesmith.messages import marked, say
from tunesmith.serving.exporters import EXPORTERS
from tunesmith.serving.exporters.base import Exported, Exporter
from tunesmith.settings import Settings
from tunesmith.store.store import Store

OWN = {option.parameter: option for kind in EXPORTERS.values() for option in kind.options}
"""Parameter → option, of those that only some targets have."""

WITH_FORMATS = {name: kind for name, kind in EXPORTERS.items() if kind.formats}


def _own_options(command: Callable[..., None]) -> Callable[..., None]:
    for parameter, option in reversed(OWN.items()):
        is_switch = option.metavar is None
        command = click.option(
            f"--{option.name}", parameter, help=option.help, metavar=option.metavar,
            is_flag=is_switch, default=False if is_switch else None,
        )(command)  # fmt: skip
    return command


class ExportCommand(OnceCommand):
    """The command with a list of its targets below its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the targets, as wide as the terminal is."""
        width, console = max(map(len, EXPORTERS)) + 4, Terminal()
        formatter.write_paragraph()
        for name, kind in EXPORTERS.items():
            lines = Text(gettext(kind.summary)).wrap(console, formatter.width - width)
            shown = f"\n{'':{width}}".join(line.plain.rstrip() for line in lines)
            formatter.write(f"  {name:{width - 2}}{shown}\n")


@click.command(cls=ExportCommand)
@click.argument("reference", metavar=USABLE)
@click.option("--to", "target", type=click.Choice(tuple(EXPORTERS)), required=True)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH",
    help="Where to; left out: in this folder, named after the experiment or the version.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there already.")
@click.option(
    "--dtype",
    type=click.Choice(tuple(dict.fromkeys(f for k in WITH_FORMATS.values() for f in k.formats))),
    help=f"Number format of {' and '.join(WITH_FORMATS)} weights; left out: "
    f"{', '.join(f'{name} {kind.usual_format}' for name, kind in WITH_FORMATS.items())}.",
)
@_own_options
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
    **own: Any,
) -> None:
    """Export the adapter of an experiment, or a version of a registered one.

    Whatever is exported must answer the held-out rows as the adapter does, within a tolerance that
    is said; otherwise nothing is left of it, and the exit code is 1.
    """
    settings = Settings.read()
    exporter = _exporter(target, dtype, own, settings)
    errors = Terminal(stderr=True)
    with Store(settings.store_url) as store:
        experiment, version = find_usable(reference, store, errors)
    with errors.status(gettext("looking at the adapter")) as status:
        work = load("tunesmith.serving.exporters.parts.work").begin(
            experiment,
            settings,
            weights=exporter.weights,
            device=device,
            rows=rows,
            weights_hash=None if version is None else version.weights_hash,
            progress=status.update,
        )
        name = experiment.name if version is None else f"{version.name}-{version.number}"
        place = output or Path(exporter.place.format(name))
        done = exporter.export(work, place, force=force)
    _tell(done, as_json)


def _exporter(
    target: str, dtype: str | None, given: dict[str, Any], settings: Settings
) -> Exporter:
    """The exporter with its options. Raises UserError, or click's, for what doesn't go together."""
    kind = EXPORTERS[target]
    if dtype is not None and dtype not in kind.formats:
        accepted = say("it takes {names}", names=", ".join(kind.formats))
        raise UserError(
            "--dtype {dtype} can't be had --to {target}: {why}.",
            dtype=dtype,
            target=target,
            why=accepted if kind.formats else marked(kind.usual_format),
        )
    for parameter, option in OWN.items():
        takers = [
            name
            for name, each in EXPORTERS.items()
            if any(other.name == option.name for other in each.options)
        ]
        is_given, fits = bool(given[parameter]), target in takers
        if (is_given and not fits) or (option.required and fits and not is_given):
            shown = " ".join(filter(None, (f"--{option.name}", option.metavar)))
            targets = " | ".join(takers)
            why = gettext("{names} goes with --to {targets}.", names=shown, targets=targets)
            if option.required:
                why = gettext(
                    "{names} goes with --to {target}, and --to {target} with it.",
                    names=shown,
                    target=takers[0],
                )
            raise click.UsageError(why)
    own = {option.parameter: given[option.parameter] for option in kind.options}
    return kind(settings, dtype, **own)


def _tell(done: Exported, as_json: bool) -> None:
    if as_json:
        echo_json(done, indent=2)
        return
    echo(f"{done.target}  {done.place}")
    echo("  verified: {agreement}", agreement=done.agreement)
    if done.note:
        echo(f"  {localized(done.note)}")
