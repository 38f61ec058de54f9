"""`tunesmith sweeps`: sweeps listed, shown, taken up again and cancelled."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from tunesmith.cli.actor import actor
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.cli.sweep import follow
from tunesmith.cli.sweep_display import print_findings, sweep_table, sweeps_table
from tunesmith.cli.terminal import Terminal
from tunesmith.experiments.reconcile import reconcile
from tunesmith.experiments.sweep_report import sweep_report
from tunesmith.experiments.sweeps import cancel_sweep, resume_sweep
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.files import finite
from tunesmith.tracking.store import Store
from tunesmith.tracking.sweep_entities import SweepStatus

REFERENCE = "ID|NAME|latest"


@click.group(cls=OnceGroup)
def sweeps() -> None:
    """List, show, resume and cancel sweeps; `tunesmith sweep FILE` begins one."""


@sweeps.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON, one sweep a line.")
def list_(limit: int, as_json: bool) -> None:
    """List sweeps, the newest first."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        found = store.sweeps.list(limit)
        reports = [sweep_report(sweep, store, settings, whole=False) for sweep in found]
    if as_json:
        for report in reports:
            echo(json.dumps(finite(asdict(report)), default=str, ensure_ascii=False))
        return
    console = Terminal(highlight=False)
    if not reports:
        console.print("No sweep yet; begin one with: tunesmith sweep config/sweeps/starter.yaml")
        return
    console.print(sweeps_table(reports))


@sweeps.command()
@click.argument("reference", metavar=REFERENCE, default="latest")
@click.option("--json", "as_json", is_flag=True, help="Every figure, for programs.")
def show(reference: str, as_json: bool) -> None:
    """Show a sweep: its trials, the best with its interval, what mattered."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        report = sweep_report(store.sweeps.find(reference), store, settings)
    if as_json:
        echo(json.dumps(finite(asdict(report)), default=str, ensure_ascii=False, indent=2))
        return
    console = Terminal(highlight=False)
    console.print(sweep_table(report))
    print_findings(console, report)


@sweeps.command()
@click.argument("reference", metavar=REFERENCE, default="latest")
def resume(reference: str) -> None:
    """Follow a sweep that runs, or take up one that failed or was cancelled, and drive it on."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        sweep = store.sweeps.find(reference)
        if sweep.status in (SweepStatus.FAILED, SweepStatus.CANCELLED):
            sweep = resume_sweep(sweep.id, store)
            write_down(store, actor(), "sweep.resume", sweep.id, name=sweep.name)
        follow(sweep, store, settings, Terminal(highlight=False))


@sweeps.command()
@click.argument("reference", metavar=REFERENCE)
def cancel(reference: str) -> None:
    """Cancel a sweep, and its experiments that wait or run."""
    with Store(Settings.read().store_url) as store:
        sweep = cancel_sweep(store.sweeps.find(reference).id, store, by=actor())
        write_down(store, actor(), "sweep.cancel", sweep.id, name=sweep.name)
    echo(f"sweep {sweep.id} ({sweep.name}) is cancelled")
