"""Sweeps in the terminal: trials, the best so far, what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from tunesmith.cli.console.output import gettext, localized, word
from tunesmith.cli.console.summary import print_next
from tunesmith.cli.console.terminal import Column, FittedTable, Terminal, Text, interval
from tunesmith.messages import say
from tunesmith.schemas.enums import TrialState
from tunesmith.schemas.sweeps import SweepTrial, SweepWhole
from tunesmith.values import readable

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


def sweep_table(report: SweepWhole) -> RenderableType:
    """The sweep as it stands: its head, and a line for each trial."""
    counts = [trial.state for trial in report.trials]
    states = [f"{counts.count(state)} {state}" for state in TrialState if state in counts]
    head = Text.assemble(
        (report.name, "bold"),
        "  sweep ",
        (report.id, "cyan"),
        "  ",
        (word(report.status), STYLES[report.status]),
        say("  {n} of {total} trials: {names}", n=len(counts), total=report.total, names=states),
    )
    if report.reason:
        head.append(f"\n  {localized(report.reason)}", "yellow")
    return Group(head, _trials(report))


def print_findings(console: Terminal, report: SweepWhole) -> None:
    """What came of a sweep: the best beside the baseline, what mattered, what to do with it."""
    if report.best is None:
        return
    best = report.trials[report.best]
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(report.metric, style="bold")
    table.add_column("", justify="right")
    table.add_column(gettext("95 % interval"), style="dim")
    shown = {gettext("best: trial {number}", number=best.number): best}
    if report.baseline is not None and report.baseline != report.best:
        shown[gettext("the base configuration")] = report.trials[report.baseline]
    for title, trial in shown.items():
        table.add_row(title, _value(trial), interval(trial.low, trial.high))
    console.print(table)
    if report.test is not None:
        console.say(
            "These are the rows that pick. By the test side, which picked nothing, the best has "
            "{metric} {value:.3f} ({ends}).",
            metric=report.test.metric,
            value=report.test.value,
            ends=interval(report.test.low, report.test.high),
        )
    if report.baseline == report.best:
        console.say("No trial was better than the base configuration.")
    if report.hint is not None:
        console.print(Text(report.hint, "yellow"))
    if report.verdict is not None:
        console.print(report.verdict)
        console.say("“The first” is the base configuration.")
    ended = sum(trial.state is TrialState.SUCCEEDED for trial in report.trials)
    if ended > 1 and report.best != report.baseline and report.test is None:
        console.say(
            "The best of {ended} was chosen by the same rows that judge it here: on "
            "new rows expect a little less.",
            "dim",
            ended=ended,
        )
    if report.importance:
        console.print(
            gettext(
                "\n[bold]What mattered[/bold] [dim](PED-ANOVA, {ended} trials)[/dim]", ended=ended
            )
        )
        console.print(_importance(report.importance))
    print_next(
        console,
        (f"experiments show {best.experiments[0]}", gettext("the best experiment")),
        (f"sweeps show {report.id}", gettext("this again")),
    )


def shown(value: Any) -> str:
    """A parameter's value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return gettext("null") if value is None else readable(value)


def _trials(report: SweepWhole) -> RenderableType:
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
            interval(trial.low, trial.high),
            *(shown(trial.parameters.get(path)) for path in report.parameters),
            Text(" ".join(trial.experiments), "dim"),
        )
    if report.trials and report.trials[0].is_baseline:
        return Group(table, Text(gettext("* the base configuration"), "dim italic"))
    return table


def _state(trial: SweepTrial) -> Text:
    text = word(trial.state)
    if trial.state is TrialState.RUNNING:
        text += f" {trial.progress:.0%}"
    elif trial.epoch is not None:
        text += gettext(" at epoch {epoch:.2g}", epoch=trial.epoch)
    return Text(text, STYLES[trial.state])


def _value(trial: SweepTrial) -> str:
    if trial.value is None:
        return ""
    spread = "" if trial.spread is None else f" ± {trial.spread:.3f}"
    return f"{trial.value:.3f}{spread}"


def _importance(found: Mapping[str, float]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    most = max(found.values(), default=0.0) or 1.0
    for name, share in found.items():
        table.add_row(name, f"{share:.0%}", Text("█" * round(BAR * share / most), "cyan"))
    return table


def sweeps_table(reports: Sequence[SweepWhole]) -> FittedTable:
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
            Text(word(report.status), STYLES[report.status]),
            f"{len(report.trials)}/{report.total}",
            str(pruned or ""),
            "" if best is None else _value(best),
            report.metric,
            f"{report.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def ended_lines(report: SweepWhole, reported: set[int]) -> list[Text]:
    """A line for each trial that has ended and wasn't reported yet; `reported` grows by them."""
    lines = []
    for trial in report.trials:
        if trial.state is TrialState.RUNNING or trial.number in reported:
            continue
        reported.add(trial.number)
        line = Text(say("trial {number}  ", number=trial.number)).append(_state(trial))
        line.append(say("  {metric} {value}  ", metric=report.metric, value=_value(trial)))
        values = (f"{p.rpartition('.')[2]} {shown(value)}" for p, value in trial.parameters.items())
        lines.append(line.append(", ".join(values), "dim"))
    return lines
