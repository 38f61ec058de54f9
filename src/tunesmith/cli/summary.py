"""The summary of an experiment: how good it is, how sure that is, where it lies, what is next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.tasks.figures import confusions_of
from tunesmith.tasks.values import readable
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.resources import Resource, data_seen


def print_summary(console: Console, experiment: Experiment) -> None:
    """Print the results of an experiment that succeeded."""
    metrics = experiment.metrics
    score = metrics["score"]
    console.print()
    console.print(_scores(metrics, score))
    for caution in metrics.get("cautions") or []:
        console.print(Text(caution[0].upper() + caution[1:], "yellow"))
    matrix = metrics.get("confusion_matrix")
    if matrix and len(matrix["labels"]) <= 12:
        console.print("\n[bold]Confusion[/bold] [dim](rows: true label, columns: answer)[/dim]")
        console.print(_confusion(matrix))
    elif pairs := confusions_of(metrics)["pairs"]:
        console.print("\n[bold]Most frequent mistakes[/bold]")
        console.print(_confused(pairs[:5]))
    if metrics["worst_mistakes"]:
        console.print("\n[bold]Worst mistakes[/bold]")
        console.print(_rows(metrics["worst_mistakes"], expected="true", predicted="answer"))
    suspects = metrics.get("likely_label_errors") or {"rows": []}
    if suspects["rows"]:
        console.print("\n[bold]Likely label errors[/bold]")
        console.print(_rows(suspects["rows"][:5], label="label", suggested="model"))
        console.print(_about_label_errors(suspects))
    console.print(_facts(metrics))
    folder = Path(str(experiment.directory))
    console.print("\n[bold]Files[/bold]")
    for name, what in (
        (
            "artifacts/final_model",
            "the adapter, its tokenizer, its card (README.md: how to load it)",
        ),
        ("metrics.json", "these results"),
        ("artifacts/predictions.jsonl", "its answer for each held-out row"),
        *([("artifacts/label_errors.csv", "all likely label errors")] if suspects["rows"] else []),
        ("config.yaml", "the complete configuration"),
        ("logs.txt", "the log"),
    ):
        console.print(
            Text(f"  {_short(folder / name)}  ", "cyan").append(what, "dim"), soft_wrap=True
        )
    console.print("\n[bold]Next[/bold]")
    for command, what in (
        (f"experiments show {experiment.id}", "this summary again"),
        (f"train --config {_short(folder / 'config.yaml')}", "repeat it"),
        ("experiments list", "all experiments"),
    ):
        console.print(
            Text(f"  {command_name()} {command}  ", "green").append(what, "dim"), soft_wrap=True
        )


def command_name() -> str:
    """What to type for `tunesmith` here: its path where it isn't on the PATH."""
    if shutil.which("tunesmith"):
        return "tunesmith"
    return _short(Path(sys.executable).with_name("tunesmith"))


def _scores(metrics: Mapping[str, Any], score: Mapping[str, Any]) -> Table:
    name, value, interval = score["metric"], score["value"], score.get("interval")
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column(name, style="bold")
    table.add_column("", justify="right")
    how = f" ({interval['method']})" if interval else ""
    table.add_column(f"95 % interval{how}", style="dim")
    sure = f"none: {score.get('interval_note') or 'not known'}"
    if interval:
        ends = f"{interval['low']:.3f} to {interval['high']:.3f}"
        sure = f"{ends}, {interval['rows']:,} held-out rows"
    table.add_row("this adapter", f"[bold]{value:.3f}[/bold]", sure)
    if name in score["untrained"]:
        table.add_row("the same model untrained", f"{score['untrained'][name]:.3f}", "same rows")
    baseline = score["baseline"]
    table.add_row(Text(baseline["name"]), f"{baseline['value']:.3f}", "same rows")
    if value <= baseline["value"]:
        table.add_row(
            Text("No better than that simple answer: it has not learned the task.", "red")
        )
    elif not interval or interval["low"] <= baseline["value"]:
        table.add_row(
            Text("Not plainly better than that simple answer, with this many rows.", "yellow")
        )
    return table


def _confusion(matrix: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for label in matrix["labels"]:
        table.add_column(Text(str(label)), justify="right")
    rows = zip(matrix["labels"], matrix["rows_expected_columns_predicted"], strict=True)
    for number, (label, counts) in enumerate(rows):
        cells = [
            Text(f"{count:,}", "bold" if column == number else "")
            for column, count in enumerate(counts)
        ]
        table.add_row(Text(str(label)), *cells)
    return table


def _confused(pairs: list[Mapping[str, Any]]) -> Table:
    """Pairs of labels that were taken for each other, where there are too many for a matrix."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("true", "answer", "rows"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for pair in pairs:
        names = (Text(_cell(pair[name])) for name in ("expected", "predicted"))
        table.add_row(*names, f"{pair['rows']:,}")
    return table


def _rows(rows: list[Mapping[str, Any]], **columns: str) -> Table:
    """Rows of the data, one line each; `columns` are two fields of each row and their headings."""
    shown = [
        (str(row["row"]), *(_cell(row[name]) for name in columns), " ".join(row["text"].split()))
        for row in rows
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    for number, name in enumerate(("row", *columns.values())):
        width = max(len(name), *(cell_len(row[number]) for row in shown))
        table.add_column(name, width=width, no_wrap=True, style="dim" if not number else "")
    table.add_column("text", style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
    for place, *cells, text in shown:
        table.add_row(place, *map(Text, cells), Text(text))
    return table


def _about_label_errors(found: Mapping[str, Any]) -> Text:
    count = (
        "1 held-out row has" if found["found"] == 1 else f"{found['found']:,} held-out rows have"
    )
    return Text(
        f"{count} a label that the model contradicts with confidence, the surest first: look at "
        "each, for what the model has not learned looks the same.",
        "dim",
    )


def _facts(metrics: Mapping[str, Any]) -> Text:
    verified = metrics.get("reload_verified")
    lines = [
        f"Trained on {data_seen(metrics)} in {_duration(metrics['train_runtime'])}: "
        f"{metrics['train_samples_per_second']:,.0f} samples/s, "
        f"{metrics['train_tokens_per_second']:,.0f} tokens/s; "
        f"{_duration(metrics['total_runtime'])} in all; "
        f"peak memory {metrics['peak_memory_bytes'] / 1e9:.1f} GB",
        *(
            f"{note[0].upper()}{note[1:]}"
            for note in (metrics.get("ending") or {}).get("notes", [])
        ),
        *_costs(metrics.get("resources") or {}),
        f"Saved adapter loaded into a fresh base model: "
        f"{'same predictions for every held-out row' if verified else 'NOT verified'}",
    ]
    return Text("\n" + "\n".join(lines))


def _costs(resources: Mapping[str, Any]) -> list[str]:
    """Where the time of training went; nothing for an experiment of a version without a monitor."""
    shares = resources.get("time_shares")
    if not shares:
        return []
    gpu = resources.get(Resource.GPU_UTILIZATION)
    return [
        "Time: "
        + ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
        + f"; {resources[Resource.CPU_PERCENT] / 100:.1f} processor cores in use"
        + ("" if gpu is None else f", GPU {gpu:.0f}% of the time")
    ]


def _cell(value: Any) -> str:
    """A label or an answer on one short line."""
    text = readable(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _short(path: Path) -> str:
    """The path from here where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
