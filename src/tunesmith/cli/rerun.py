"""`tunesmith rerun`: make an experiment again, here and now, and say whether it is the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from tunesmith.cli.display import TerminalDisplay
from tunesmith.cli.once import OnceCommand
from tunesmith.cli.output import echo
from tunesmith.cli.terminal import Terminal
from tunesmith.cli.train import run_here
from tunesmith.errors import StateError, shorten
from tunesmith.experiments.reconcile import reconcile
from tunesmith.experiments.repetition import Repetition, compare_repetition, prepare_again
from tunesmith.experiments.submission import submit
from tunesmith.settings import Settings
from tunesmith.tracking.differences import Difference
from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.tracking.store import Store

SHOWN = 8
"""Differences of a kind that are shown; --json has all."""


@click.command(cls=OnceCommand)
@click.argument("reference", metavar="ID|NAME|latest")
@click.option("--json", "as_json", is_flag=True, help="The whole report, for programs.")
@click.pass_context
def rerun(context: click.Context, reference: str, as_json: bool) -> None:
    """Make a finished experiment again from its record, and report whether it matched.

    The same configuration, data and seed on the same machine give the same bytes. Where they don't,
    the report says at which step the two first differ, and what is not the same about them: data,
    packages, hardware. Exit code 1 where they don't match.
    """
    settings = Settings.read()
    display = TerminalDisplay(Terminal(stderr=True) if as_json else None)
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        before = store.find(reference)
        if before.status is not ExperimentStatus.SUCCEEDED:
            raise StateError(
                f"experiment {before.id} is {before.status}: only what succeeded can be compared "
                "with what comes out now. To train it again all the same: "
                f"tunesmith experiments rerun {before.id}"
            )
        with display.working("checking configuration, data and model"):
            prepared = prepare_again(before, settings)
        again = submit(prepared, store, settings)
        run_here(again, prepared, settings, display)
        found = compare_repetition(before, store.get(again.id), store, settings)
    if as_json:
        echo(json.dumps({"matched": found.matched, **asdict(found)}, default=str, indent=2))
    else:
        _print(display.console, found)
    context.exit(0 if found.matched else 1)


def _print(console: Console, found: Repetition) -> None:
    console.print()
    if found.matched:
        weights = (
            "the adapter is the same to the byte"
            if found.same_adapter
            else "its adapter is not at hand to be compared"
        )
        text = f"It matched: {weights}; {found.steps:,} points of loss and scores are equal."
        console.print(Text(text, "green"))
    else:
        console.print(Text(f"It did not match. {_first(found)}", "yellow"))
    for title, fields in (
        ("Data", found.data),
        ("Environment", found.environment),
        ("Configuration", found.config),
    ):
        _differences(console, title, fields)
    if not found.matched and not (found.data or found.environment or found.config):
        console.print(
            "Data, packages, hardware and configuration are recorded as the same. Interrupted "
            "experiments sum their losses in other portions; else something is not deterministic "
            "here: please report it."
        )


def _first(found: Repetition) -> str:
    step = found.first_difference
    if step is None:
        parts = ["the adapter's bytes"] if found.same_adapter is False else []
        parts += [] if found.same_score else ["the score"]
        return f"The histories are equal, but {' and '.join(parts)} differ."
    values = (
        "no value" if value is None else f"{value:.9g}" for value in (step.before, step.again)
    )
    return f"They first differ at step {step.step}: {step.metric} {' before, '.join(values)} now."


def _differences(console: Console, title: str, fields: Sequence[Difference]) -> None:
    if not fields:
        return
    console.print(f"\n[bold]{title}[/bold], before and now")
    for each in fields[:SHOWN]:
        values = (shorten(value) for value in each.values)
        console.print(Text(f"  {each.field}  ").append("  →  ".join(values), "dim"))
    if len(fields) > SHOWN:
        console.print(Text(f"  … and {len(fields) - SHOWN} more (--json)", "dim"))
