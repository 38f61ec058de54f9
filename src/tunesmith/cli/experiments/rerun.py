"""`tunesmith rerun`: make an experiment again, here and now, and say whether it is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo_json, gettext
from tunesmith.cli.console.progress import TerminalDisplay
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.cli.training.train import run_here
from tunesmith.errors import StateError, shorten
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.experiments.questions.repetition import Repetition, compare_repetition, prepare_again
from tunesmith.messages import joined
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.statistics.differences import Difference
from tunesmith.store.store import Store

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
                "experiment {id} is {status}: only what succeeded can be compared with "
                "what comes out now. To train it again all the same: tunesmith "
                "experiments rerun {id}",
                id=before.id,
                status=before.status,
            )
        with display.working(gettext("checking configuration, data and model")):
            prepared = prepare_again(before, settings)
        again = submit(prepared, store, settings)
        run_here(again, prepared, settings, display)
        found = compare_repetition(before, store.get(again.id), store, settings)
    if as_json:
        echo_json({"matched": found.matched, **asdict(found)}, indent=2)
    else:
        _print(display.console, found)
    context.exit(0 if found.matched else 1)


def _print(console: Terminal, found: Repetition) -> None:
    console.print()
    if found.matched:
        weights = gettext("its adapter is not at hand to be compared")
        if found.same_adapter:
            weights = gettext("the adapter is the same to the byte")
        console.say(
            "It matched: {weights}; {steps:,} points of loss and scores are equal.",
            "green", weights=weights, steps=found.steps,
        )  # fmt: skip
    else:
        console.say("It did not match. {first}", "yellow", first=_first(found))
    for title, fields in (
        (gettext("Data"), found.data),
        (gettext("Environment"), found.environment),
        (gettext("Configuration"), found.config),
    ):
        _differences(console, title, fields)
    if not found.matched and not (found.data or found.environment or found.config):
        console.say(
            "Data, packages, hardware and configuration are recorded as the same. "
            "Interrupted experiments sum their losses in other portions; else "
            "something is not deterministic here: please report it."
        )


def _first(found: Repetition) -> str:
    step = found.first_difference
    if step is None:
        parts = [gettext("the adapter's bytes")] if found.same_adapter is False else []
        parts += [] if found.same_score else [gettext("the score")]
        names = joined(parts, " and ")
        return gettext("The histories are equal, but {names} differ.", names=names)
    before, now = (
        gettext("no value") if value is None else f"{value:.9g}"
        for value in (step.before, step.again)
    )
    return gettext(
        "They first differ at step {step}: {metric} {before} before, {now} now.",
        step=step.step, metric=step.metric, before=before, now=now,
    )  # fmt: skip


def _differences(console: Terminal, title: str, fields: Sequence[Difference]) -> None:
    if not fields:
        return
    console.print(gettext("\n[bold]{title}[/bold], before and now", title=title))
    for each in fields[:SHOWN]:
        values = (shorten(value) for value in each.values)
        console.print(Text(f"  {each.field}  ").append("  →  ".join(values), "dim"))
    if len(fields) > SHOWN:
        console.say("  … and {n} more (--json)", "dim", n=len(fields) - SHOWN)
