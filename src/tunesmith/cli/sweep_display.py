"""Sweeps in the terminal: trials, the best so far, what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tunesmith.cli.summary import command_name
from tunesmith.cli.tables import Column, FittedTable
from tunesmith.experiments.sweep_report import SweepReport, TrialReport
from tunesmith.tasks.values import readable
from tunesmith.tracking.sweep_entities import TrialState

STYLES: Mapping[str, str] = {
    TrialState.RUNNING: "cyan",
    TrialState.SUCCEEDED: "green",
    TrialState.PRUNED: "yellow",
    TrialState.FAILED: "red",
    TrialState.CANCELLED: "yellow",
}
"""State of a trial, or status of a sweep → how it is printed."""

BAR = 24
"""Columns of the longest bar."""


def sweep_table(report: SweepReport) -> RenderableType:
    """The sweep as it stands: its head, and a line for each trial."""
    counts = [trial.state for trial in report.trials]
    states = [f"{counts.count(state)} {state}" for state in TrialState if state in counts]
    head = Text.assemble(
        (report.name, "bold"), "  sweep ", (report.id, "cyan"), "  ",
        (str(report.status), STYLES[report.status]),
        f"  {len(report.trials)} of {report.total} trials: {', '.join(states)}",
    )  # fmt: skip
    lines: list[RenderableType] = [head]
    if report.reason:
        lines.append(Text(f"  {report.reason}", "yellow"))
    return Group(*lines, _trials(report))


def print_findings(console: Console, report: SweepReport) -> None:
    """What came of a sweep: the best beside the baseline, what mattered, what to do with it."""
    if report.best is None:
        return
    best = report.trials[report.best]
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(report.metric, style="bold")
    table.add_column("", justify="right")
    table.add_column("95 % interval", style="dim")
    table.add_row(f"best: trial {best.number}", _value(best), _interval(best))
    if report.baseline is not None and report.baseline != report.best:
        base = report.trials[report.baseline]
        table.add_row("the base configuration", _value(base), _interval(base))
    console.print(table)
    if report.baseline == report.best:
        console.print("No trial was better than the base configuration.")
    if report.hint is not None:
        console.print(Text(report.hint, "yellow"))
    if report.verdict is not None:
        console.print(report.verdict.replace("than the first", "than the base configuration")
                      .replace("from the first", "from the base configuration"))  # fmt: skip
    ended = sum(trial.state is TrialState.SUCCEEDED for trial in report.trials)
    if ended > 1 and report.best != report.baseline:
        console.print(
            f"The best of {ended} was chosen by the same rows that judge it here: on new rows "
            "expect a little less.",
            style="dim",
        )
    if report.importance:
        console.print(f"\n[bold]What mattered[/bold] [dim](PED-ANOVA, {ended} trials)[/dim]")
        console.print(_importance(report.importance))
    console.print("\n[bold]Next[/bold]")
    for command, what in (
        (f"experiments show {best.experiments[0]}", "the best experiment"),
        (f"sweeps show {report.id}", "this again"),
    ):
        console.print(Text(f"  {command_name()} {command}  ", "green").append(what, "dim"))


def shown(value: Any) -> str:
    """A parameter's value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "null" if value is None else readable(value)


def _trials(report: SweepReport) -> RenderableType:
    one = report.seeds == 1
    table = FittedTable(
        Column("trial", right=True), Column("state"), Column(report.metric, right=True),
        Column("95 % interval", spare=1),
        *(Column(path.rpartition(".")[2], right=True, cut=True) for path in report.parameters),
        Column("experiment" if one else "experiments", cut=not one, spare=2),
    )  # fmt: skip
    for trial in report.trials:
        best = trial.number == report.best
        table.add_row(
            f"{trial.number}{'*' if trial.is_baseline else ''}",
            _state(trial),
            Text(_value(trial), "bold green" if best else ""),
            _interval(trial),
            *(shown(trial.parameters.get(path)) for path in report.parameters),
            Text(" ".join(trial.experiments), "dim"),
        )
    if report.trials and report.trials[0].is_baseline:
        return Group(table, Text("* the base configuration", "dim italic"))
    return table


def _state(trial: TrialReport) -> Text:
    text = str(trial.state)
    if trial.state is TrialState.RUNNING:
        text += f" {trial.progress:.0%}"
    elif trial.epoch is not None:
        text += f" at epoch {trial.epoch:.2g}"
    return Text(text, STYLES[trial.state])


def _value(trial: TrialReport) -> str:
    if trial.value is None:
        return ""
    spread = "" if trial.spread is None else f" ± {trial.spread:.3f}"
    return f"{trial.value:.3f}{spread}"


def _interval(trial: TrialReport) -> str:
    if trial.low is None or trial.high is None:
        return ""
    return f"{trial.low:.3f} to {trial.high:.3f}"


def _importance(found: Mapping[str, float]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    most = max(found.values(), default=0.0) or 1.0
    for name, share in found.items():
        table.add_row(name, f"{share:.0%}", Text("█" * round(BAR * share / most), "cyan"))
    return table


def sweeps_table(reports: Sequence[SweepReport]) -> FittedTable:
    """One line for each sweep."""
    table = FittedTable(
        Column("id"), Column("name", cut=True), Column("status"), Column("trials", right=True),
        Column("pruned", right=True, spare=3), Column("best", right=True),
        Column("metric", spare=1), Column("created", spare=2),
    )  # fmt: skip
    for report in reports:
        best = None if report.best is None else report.trials[report.best]
        pruned = sum(trial.state is TrialState.PRUNED for trial in report.trials)
        table.add_row(
            Text(report.id, "cyan"),
            Text(report.name),
            Text(str(report.status), STYLES[report.status]),
            f"{len(report.trials)}/{report.total}",
            str(pruned or ""),
            "" if best is None else _value(best),
            report.metric,
            f"{report.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def ended_lines(report: SweepReport, told: set[int]) -> list[Text]:
    """A line for each trial that has ended and wasn't told of yet; `told` grows by them."""
    lines = []
    for trial in report.trials:
        if trial.state is TrialState.RUNNING or trial.number in told:
            continue
        told.add(trial.number)
        values = ", ".join(
            f"{path.rpartition('.')[2]} {shown(value)}" for path, value in trial.parameters.items()
        )
        state = _state(trial)
        lines.append(
            Text.assemble(
                f"trial {trial.number}  ",
                state,
                f"  {report.metric} {_value(trial)}  ",
                (values, "dim"),
            )
        )
    return lines
