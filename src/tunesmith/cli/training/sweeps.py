"""`tunesmith sweeps`: sweeps listed, shown, taken up again and cancelled."""

from __future__ import annotations

from typing import Any

import click

from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, echo_json
from tunesmith.cli.console.records import opened, record
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.training.sweep import follow
from tunesmith.cli.training.sweep_display import print_findings, sweep_table, sweeps_table
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.sweeps.driving import cancel_sweep, resume_sweep
from tunesmith.experiments.sweeps.report import sweep_report
from tunesmith.files.environment import this_person
from tunesmith.schemas.enums import SweepStatus

REFERENCE = "ID|NAME|latest"

_MESSAGES: Any = {"messages": True, "trials": {"__all__": {"messages"}}}
"""What programs are not given: what the texts are made of."""


@click.group(cls=OnceGroup)
def sweeps() -> None:
    """List, show, resume and cancel sweeps; `tunesmith sweep FILE` begins one."""


@sweeps.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON, one sweep a line.")
def list_(limit: int, as_json: bool) -> None:
    """List sweeps, the newest first."""
    with opened() as (store, settings):
        found = store.sweeps.list(limit)
        reports = [sweep_report(sweep, store, settings, whole=False) for sweep in found]
    if as_json:
        for report in reports:
            echo_json(report.model_dump(exclude=_MESSAGES))
        return
    console = Terminal()
    if not reports:
        console.say("No sweep yet; begin one with: tunesmith sweep config/sweeps/starter.yaml")
        return
    console.print(sweeps_table(reports))


@sweeps.command()
@click.argument("reference", metavar=REFERENCE, default="latest")
@click.option("--json", "as_json", is_flag=True, help="Every figure, for programs.")
def show(reference: str, as_json: bool) -> None:
    """Show a sweep: its trials, the best with its interval, what mattered."""
    with opened() as (store, settings):
        reconcile(store, settings)
        report = sweep_report(store.sweeps.find(reference), store, settings)
    if as_json:
        echo_json(report.model_dump(exclude=_MESSAGES), indent=2)
        return
    console = Terminal()
    console.print(sweep_table(report))
    print_findings(console, report)


@sweeps.command()
@click.argument("reference", metavar=REFERENCE, default="latest")
def resume(reference: str) -> None:
    """Follow a sweep that runs, or take up one that failed or was cancelled, and drive it on."""
    with opened() as (store, settings):
        sweep = store.sweeps.find(reference)
        if sweep.status in (SweepStatus.FAILED, SweepStatus.CANCELLED):
            sweep = resume_sweep(sweep.id, store)
            record(store, "sweep.resume", sweep.id, name=sweep.name)
        follow(sweep, store, settings, Terminal())


@sweeps.command()
@click.argument("reference", metavar=REFERENCE)
def cancel(reference: str) -> None:
    """Cancel a sweep, and its experiments that wait or run."""
    with opened() as (store, _):
        sweep = cancel_sweep(store.sweeps.find(reference).id, store, by=this_person())
        record(store, "sweep.cancel", sweep.id, name=sweep.name)
    echo("sweep {id} ({name}) is cancelled", id=sweep.id, name=sweep.name)
