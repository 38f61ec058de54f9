"""A training in the terminal: plan, losses as they come, a bar with the time left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tunesmith.cli.console.output import gettext, localized, word
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.store.entities.experiments import Experiment
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.reporter import Phase, Reporter


class TerminalDisplay(Reporter):
    """Shows what a training reports. Where there is no terminal, it prints lines only."""

    def __init__(self, console: Terminal | None = None) -> None:
        self.console = console or Terminal()
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            expand=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> None:
        self.bar.start()

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that something is being done."""
        with self.console.working(what):
            yield

    def begin(self, experiment: Experiment) -> None:
        """Say which experiment this is."""
        line = Text.assemble(
            (experiment.name, "bold"),
            gettext("  {task}, experiment ", task=experiment.task),
            (experiment.id, "cyan"),
        )
        self.console.print(line)
        self.console.print(Text(f"  {experiment.directory}", "dim"), soft_wrap=True)

    def phase(self, phase: Phase, note: str = "") -> None:
        """Begin a new bar for the phase."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        description = word(phase)
        self.task = self.bar.add_task(description, total=None)
        self.console.print(
            Text.assemble((description, "bold"), f"  {localized(note)}" if note else ""),
            soft_wrap=True,
        )

    def plan(self, plan: Plan) -> None:
        """Show the plan as a table, a reason beside each choice."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for choice in plan.choices:
            setting, reason = Text(choice.setting, "dim"), Text(choice.reason, "dim")
            table.add_row(setting, Text(choice.value), reason)
        self.console.print(table)

    def message(self, text: str) -> None:
        """Show a line."""
        self.console.print(Text(_indented(text)), soft_wrap=True)

    def warning(self, text: str) -> None:
        """Show a line that stands out."""
        self.console.print(Text(_indented(text), "yellow"), soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bar.update(self.task, completed=done, total=total)

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Show what was measured."""
        at = gettext("  step {step}  epoch {epoch}  ", step=f"{step:>5}", epoch=f"{epoch:5.2f}")
        line = Text(at, "dim")
        for name, value in values.items():
            shown = f"{value:.2e}" if name == "learning_rate" else f"{value:.4f}"
            line.append(f"{name} ", "dim").append(f"{shown}  ")
        self.console.print(line, soft_wrap=True)

    def resources(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Nothing: the bar tells the time, and the summary what it all cost."""

    def should_stop(self) -> bool:
        """Never: Ctrl-C says so to the experiment itself."""
        return False


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in localized(text).splitlines())
