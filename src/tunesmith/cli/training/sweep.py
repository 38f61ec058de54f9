"""`tunesmith sweep`: begin a sweep, or go on with the one that was begun from the same file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from rich.live import Live

from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import gettext
from tunesmith.cli.console.records import record
from tunesmith.cli.console.summary import command_name
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.cli.training.sweep_display import ended_lines, print_findings, sweep_table
from tunesmith.config.sweep import SweepConfig, read_sweep
from tunesmith.errors import Interrupted, TrainingError
from tunesmith.experiments.lifecycle.prepare import check
from tunesmith.experiments.lifecycle.reconcile import Reconciler
from tunesmith.experiments.sweeps.driving import advance, begin
from tunesmith.experiments.sweeps.report import sweep_report
from tunesmith.files.environment import this_person
from tunesmith.schemas.enums import SweepStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.sweeps import Sweep
from tunesmith.store.store import Store

INTERVAL = 2.0
"""Seconds between two steps."""

FAREWELL = 60.0
"""Seconds that this command's own worker gets to give back what it trains."""


@click.command(cls=OnceCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--detach", is_flag=True, help="Return at once; workers go on with it.")
@click.option("--new", is_flag=True, help="Begin anew, though one from this file runs already.")
def sweep(file: Path, detach: bool, new: bool) -> None:
    """Search for the best setting: FILE says what is varied, and how it is judged.

    Trials are ordinary experiments in the queue. Where no worker runs, this command starts one for
    the time of the sweep. Ctrl-C leaves the sweep as it is: the same command goes on with it.
    """
    settings = Settings.read()
    asked = read_sweep(file)
    console = Terminal()
    with Store(settings.store_url) as store:
        found = None if new else _running(asked, store)
        if found is None:
            with console.status(gettext("checking configuration, data and model …")):
                check(asked.setting(asked.base_values, 0, 0), settings)
            found = begin(asked, store, settings, owner=this_person())
            record(store, "sweep.submit", found.id, name=found.name)
        if not detach:
            follow(found, store, settings, console)
            return
        console.print(
            Text.assemble((found.name, "bold"), "  sweep ", (found.id, "cyan"), ", detached")
        )
        command = command_name()
        console.say("  follow it:  {command} sweeps resume {id}", command=command, id=found.id)
        if not _workers(store, settings):
            console.say("  it waits: no worker runs", "yellow")
            console.say("  start one:  {command_name} up", command_name=command)


def follow(found: Sweep, store: Store, settings: Settings, console: Terminal) -> None:
    """Drive a sweep and show it until it has ended, with a worker where there is none.

    Raises Interrupted on Ctrl-C, and TrainingError when the sweep fails.
    """
    try:
        with _own_worker(found, store, settings, console):
            _drive(found, store, settings, console)
    except KeyboardInterrupt:
        raise Interrupted(
            gettext(
                "sweep {id} is kept, and workers go on with it; follow it again with\n"
                "  {command} sweeps resume {id}\nor end it with\n  {command} sweeps cancel {id}",
                id=found.id,
                command=command_name(),
            )
        ) from None
    report = sweep_report(store.sweeps.get(found.id), store, settings)
    console.print(sweep_table(report))
    print_findings(console, report)
    if report.status is SweepStatus.FAILED:
        raise TrainingError("sweep {id} failed: {reason}", id=report.id, reason=report.reason)


def _drive(found: Sweep, store: Store, settings: Settings, console: Terminal) -> None:
    watcher = Reconciler(store, settings)
    shown: set[int] = set()
    live = Live(console=console, transient=True, auto_refresh=False)
    with live if console.is_terminal else nullcontext():
        while True:
            watcher.round()
            advance(found, store, settings)
            found = store.sweeps.get(found.id)
            report = sweep_report(found, store, settings, whole=False)
            if console.is_terminal:
                live.update(sweep_table(report), refresh=True)
            else:
                for line in ended_lines(report, shown):
                    console.print(line, soft_wrap=True)
            if found.status is not SweepStatus.RUNNING:
                return
            time.sleep(INTERVAL)


def _running(asked: SweepConfig, store: Store) -> Sweep | None:
    """The newest sweep that runs and was asked for in the same words."""
    wanted = asked.model_dump(mode="json")
    running = (each for each in store.sweeps.list() if each.status is SweepStatus.RUNNING)
    return next((each for each in running if each.asked == wanted), None)


def _workers(store: Store, settings: Settings) -> int:
    """Workers with a recent heartbeat."""
    patience = settings.lease_seconds
    return sum(w.silence.total_seconds() <= patience for w in store.queue.workers())


@contextmanager
def _own_worker(
    found: Sweep, store: Store, settings: Settings, console: Terminal
) -> Iterator[None]:
    """A worker for the time of the sweep, unless one runs already."""
    if found.status is not SweepStatus.RUNNING or _workers(store, settings):
        yield
        return
    slots = SweepConfig.model_validate(found.asked).parallel or 1
    output = settings.results_dir / f"sweep-{found.id}.txt"
    console.say(
        "No worker is running: this command trains the trials, {slots} at once ({output})",
        "dim",
        slots=slots,
        output=output,
        soft_wrap=True,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as stream:
        own = str(os.getpid())
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tunesmith.cli", "worker", "--parent", own),
                *("--name", f"sweep-{found.id}-{own}", "--slots", str(slots)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this command, which passes it on
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(settings.cancel_grace_seconds + FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
