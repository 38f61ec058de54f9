"""`tunesmith data label-errors`: every label judged by a training that left its row out."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.console.flags import DEFAULT_CONFIG
from tunesmith.cli.console.once import OnceCommand
from tunesmith.cli.console.output import echo_json, gettext
from tunesmith.cli.console.summary import print_label_errors
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.data.naming import source_and_assignments
from tunesmith.cli.data.reports import report_folder
from tunesmith.config.presets import presets
from tunesmith.config.yaml import Draft, read_draft
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.questions.label_errors import FEWEST_FOLDS, MOST_FOLDS, judge_labels
from tunesmith.files.writing import write_text
from tunesmith.settings import Settings

SHOWN = 20
"""Rows in the terminal; the file holds all."""


@click.command("label-errors", cls=OnceCommand)
@click.argument("arguments", nargs=-1, metavar="[SOURCE] [SECTION.FIELD=VALUE]...")
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    help="Configuration of the trainings. "
    f"Without SOURCE: {DEFAULT_CONFIG}; with it, the starter's model and settings.",
)
@click.option(
    "--folds",
    type=click.IntRange(FEWEST_FOLDS, MOST_FOLDS),
    default=5,
    show_default=True,
    help="Parts of the rows; each is judged by a training on the others.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Where the list goes (CSV).")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def label_errors(
    arguments: tuple[str, ...], config: Path | None, folds: int, output: Path | None, as_json: bool
) -> None:
    """Find likely wrong labels among all rows, and estimate how many are wrong.

    Each row is judged by a model that was not trained on it: as many trainings as folds. Rows of a
    group (data.group_column) and equal texts are judged together.
    """
    settings = Settings.read()
    console = Terminal(stderr=as_json)
    with console.working(gettext("judging every label")):
        prepared = prepare(_draft(arguments, config), settings)
        found = judge_labels(prepared, folds, settings)
    folder = report_folder(settings, prepared.dataset.source)
    output = output or folder / "label_errors.csv"
    write_text(output, found.to_csv())
    values = found.to_json(SHOWN)
    if as_json:
        echo_json(values, indent=2)
    else:
        print_label_errors(console, values, SHOWN)
    console.say("\nall of them  {output}", output=output, soft_wrap=True)


def _draft(arguments: tuple[str, ...], config: Path | None) -> Draft:
    """What is trained: the configuration's, or the starter's model and settings on the source."""
    name, assignments = source_and_assignments(arguments)
    if name is None:
        return read_draft(config or DEFAULT_CONFIG, None, assignments)
    fields = {"data.dataset_name": name}
    if config is not None:
        return read_draft(config, None, assignments, fields)
    starter = next(iter(presets().values())).config
    base = {
        "task": {"name": starter["task"]["name"]},
        "model": {"name": starter["model"]["name"]},
        "data": {},
        **{section: dict(starter[section]) for section in ("lora", "training")},
    }
    return read_draft(base, None, assignments, fields)
