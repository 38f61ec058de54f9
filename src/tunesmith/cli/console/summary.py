"""The summary of an experiment: how good it is, how sure that is, where it lies, what is next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from tunesmith.cli.console.output import capitalized, gettext, ngettext, word
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.cli.console.terminal import interval as between
from tunesmith.messages import say
from tunesmith.schemas.metrics import (
    Resource,
    calibration_said,
    confusions_of,
    data_seen,
    forgetting_of,
    selective_said,
)
from tunesmith.store.entities.experiments import Experiment
from tunesmith.values import readable


def print_summary(console: Terminal, experiment: Experiment) -> None:
    """Print the results of an experiment that succeeded."""
    metrics = experiment.metrics
    score = metrics["score"]
    console.print()
    console.print(_scores(metrics, score))
    for caution in metrics.get("cautions") or []:
        console.print(Text(capitalized(caution), "yellow"))
    if (looks := metrics.get("looks") or 0) > 1:
        console.say("These rows have judged {looks:,} experiments by now.", "dim", looks=looks)
    for said in filter(None, (calibration_said(metrics), selective_said(metrics))):
        console.print(Text(said, "dim"))
    for kept in forgetting_of(metrics):
        console.print(Text(capitalized(kept), "dim"))
    matrix = metrics.get("confusion_matrix")
    if matrix and len(matrix["labels"]) <= 12:
        console.print(
            gettext("\n[bold]Confusion[/bold] [dim](rows: true label, columns: answer)[/dim]")
        )
        console.print(_confusion(matrix))
    elif pairs := confusions_of(metrics)["pairs"]:
        console.print(gettext("\n[bold]Most frequent mistakes[/bold]"))
        console.print(_confused(pairs[:5]))
    if metrics["worst_mistakes"]:
        console.print(gettext("\n[bold]Worst mistakes[/bold]"))
        console.print(_rows(metrics["worst_mistakes"], expected="true", predicted="answer"))
    suspects = metrics.get("likely_label_errors") or {"rows": []}
    if suspects["rows"] or "conclusion" in suspects:
        console.print(gettext("\n[bold]Likely label errors[/bold]"))
        print_label_errors(console, suspects, 5)
    console.print(_facts(metrics))
    folder = Path(str(experiment.directory))
    console.print(gettext("\n[bold]Files[/bold]"))
    for name, what in (
        (
            "artifacts/final_model",
            gettext("the adapter, its tokenizer, its card (README.md: how to load it)"),
        ),
        ("metrics.json", gettext("these results")),
        ("artifacts/predictions.jsonl", gettext("its answer for each held-out row")),
        ("artifacts/label_errors.csv", gettext("all likely label errors")),
        ("config.yaml", gettext("the complete configuration")),
        ("logs.txt", gettext("the log")),
    ):
        if name != "artifacts/label_errors.csv" or suspects["rows"]:
            line = Text(f"  {_short(folder / name)}  ", "cyan").append(what, "dim")
            console.print(line, soft_wrap=True)
    print_next(
        console,
        (f"experiments show {experiment.id}", gettext("this summary again")),
        (f"train --config {_short(folder / 'config.yaml')}", gettext("repeat it")),
        ("experiments list", gettext("all experiments")),
    )


def print_next(console: Terminal, *commands: tuple[str, str]) -> None:
    """What to type next, and what it does."""
    console.print(gettext("\n[bold]Next[/bold]"))
    for command, what in commands:
        line = Text(f"  {command_name()} {command}  ", "green").append(what, "dim")
        console.print(line, soft_wrap=True)


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
    table.add_column(gettext("95 % interval{how}", how=how), style="dim")
    sure = gettext("none: {why}", why=score.get("interval_note") or gettext("not known"))
    if interval:
        ends = between(interval["low"], interval["high"])
        sure = gettext("{ends}, {rows:,} held-out rows", ends=ends, rows=interval["rows"])
        if groups := interval.get("groups"):
            sure = gettext(
                "{ends}, {rows:,} held-out rows of {n:,} groups",
                ends=ends,
                rows=interval["rows"],
                n=groups,
            )
    table.add_row(gettext("this adapter"), f"[bold]{value:.3f}[/bold]", sure)
    if validation := metrics.get("validation"):
        rows = gettext("{n:,} rows, which picked", n=metrics["validation_samples"])
        table.add_row(gettext("validation"), f"{validation['value']:.3f}", rows)
    same = gettext("same rows")
    if name in score["untrained"]:
        untrained = f"{score['untrained'][name]:.3f}"
        table.add_row(gettext("the same model untrained"), untrained, same)
    baseline = score["baseline"]
    table.add_row(Text(baseline["name"]), f"{baseline['value']:.3f}", same)
    if value <= baseline["value"]:
        said = say("No better than that simple answer: it has not learned the task.")
        table.add_row(Text(said, "red"))
    elif not interval or interval["low"] <= baseline["value"]:
        said = say("Not plainly better than that simple answer, with this many rows.")
        table.add_row(Text(said, "yellow"))
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
        table.add_column(word(name), justify="right" if name == "rows" else "left")
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
    for number, name in enumerate(map(word, ("row", *columns.values()))):
        width = max(cell_len(name), *(cell_len(row[number]) for row in shown))
        table.add_column(name, width=width, no_wrap=True, style="dim" if not number else "")
    table.add_column(gettext("text"), style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
    for place, *cells, text in shown:
        table.add_row(place, *map(Text, cells), Text(text))
    return table


def print_label_errors(console: Terminal, found: Mapping[str, Any], count: int) -> None:
    """The first `count` rows whose label the model contradicts, and what it comes to."""
    if found["rows"]:
        console.print(_rows(found["rows"][:count], label="label", suggested="model"))
        said = ngettext(
            "{n:,} row has a label that the model contradicts with confidence, the surest first: "
            "look at each, for what the model has not learned looks the same.",
            "{n:,} rows have a label that the model contradicts with confidence, the surest first: "
            "look at each, for what the model has not learned looks the same.",
            n=found["found"],
        )
        console.print(Text(said, "dim"))
    if "conclusion" in found:  # those of earlier versions estimated nothing
        console.print(Text(found["conclusion"]))


def _facts(metrics: Mapping[str, Any]) -> Text:
    verified = gettext("NOT verified")
    if metrics.get("reload_verified"):
        verified = gettext("same predictions for every held-out row")
    lines = [
        gettext(
            "Trained on {data_seen} in {duration}: {train_samples_per_second:,.0f} "
            "samples/s, {train_tokens_per_second:,.0f} tokens/s; {duration2} in all; "
            "peak memory {peak_memory_bytes:.1f} GB",
            data_seen=data_seen(metrics),
            duration=_duration(metrics["train_runtime"]),
            train_samples_per_second=metrics["train_samples_per_second"],
            train_tokens_per_second=metrics["train_tokens_per_second"],
            duration2=_duration(metrics["total_runtime"]),
            peak_memory_bytes=metrics["peak_memory_bytes"] / 1e9,
        ),
        *(capitalized(note) for note in (metrics.get("ending") or {}).get("notes", [])),
        *_changed(metrics.get("answers_changed")),
        *_costs(metrics.get("resources") or {}),
        gettext("Saved adapter loaded into a fresh base model: {value}", value=verified),
    ]
    return Text("\n" + "\n".join(lines))


def _changed(share: float | None) -> list[str]:
    """How many answers training changed; nothing for numbers, and of earlier versions."""
    if share is None:
        return []
    return [gettext("{share:.0%} of the answers differ from the untrained model's", share=share)]


def _costs(resources: Mapping[str, Any]) -> list[str]:
    """Where the time of training went; nothing for an experiment of a version without a monitor."""
    shares = resources.get("time_shares")
    if not shares:
        return []
    gpu = resources.get(Resource.GPU_UTILIZATION)
    parts = ", ".join(f"{word(part)} {share:.0%}" for part, share in shares.items())
    cores = resources[Resource.CPU_PERCENT] / 100
    used = gettext("; {resources:.1f} processor cores in use", resources=cores)
    used += "" if gpu is None else gettext(", GPU {gpu:.0f}% of the time", gpu=gpu)
    return [gettext("Time: ") + parts + used]


def _cell(value: Any) -> str:
    """A label or an answer on one short line."""
    text = readable(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return gettext("{n:.0f} s", n=seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        gettext("{hours} h {minutes} min", hours=hours, minutes=f"{minutes:02}")
        if hours
        else gettext("{minutes} min {seconds} s", minutes=minutes, seconds=f"{rest:02}")
    )


def _short(path: Path) -> str:
    """The path from here where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
