"""`tunesmith data`: check, analyze and import data; list, show, compare and export its versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.actor import actor
from tunesmith.cli.data_analysis import print_analysis
from tunesmith.cli.data_display import print_diff, print_report, print_version, versions_table
from tunesmith.cli.flags import DEFAULT_CONFIG
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import echo
from tunesmith.cli.terminal import Terminal
from tunesmith.data.analysis.page import render_page
from tunesmith.data.checks.rejected import rejected_rows
from tunesmith.data.writing import write_table
from tunesmith.errors import ConfigError, Problem
from tunesmith.experiments.datasets import (
    Inquiry,
    analyze_data,
    check_data,
    import_data,
    inquire,
    open_versions,
    version_name,
)
from tunesmith.experiments.versions import compare_versions, export_version
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.entities import DatasetVersion
from tunesmith.tracking.files import write_json, write_text
from tunesmith.tracking.store import Store


@click.group(cls=OnceGroup)
def data() -> None:
    """Check, analyze, import, compare and export data.

    SOURCE is what `data.dataset_name` of a configuration may be: a file, a folder, a dataset of the
    hub, package:NAME/path, or a version such as reviews@3. Without it, the configuration's.
    """


def inquiry(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the `arguments` and the `config` that name data and rules."""
    decorated = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        help="Configuration with the rules, the task and its columns, and the model's tokenizer. "
        f"Without SOURCE: {DEFAULT_CONFIG}.",
    )(command)
    return click.argument("arguments", nargs=-1, metavar="[SOURCE] [SECTION.FIELD=VALUE]...")(
        decorated
    )


@data.command()
@inquiry
@click.option("--output", type=click.Path(path_type=Path), help="Where the report goes (JSON).")
@click.option(
    "--rejected",
    type=click.Path(path_type=Path),
    help="Where rejected rows go: .csv, .parquet, .jsonl; none are written where there are none.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON, without its findings.")
def check(
    arguments: tuple[str, ...],
    config: Path | None,
    output: Path | None,
    rejected: Path | None,
    as_json: bool,
) -> None:
    """Report every row that breaks a rule, with what would mend it.

    Saves the whole report, and the rejected rows with rule and reason, to mend and send back.
    """
    settings = Settings.read()
    console = Terminal(highlight=False, stderr=as_json)
    with console.status("reading and checking the data …"):
        asked = _inquire(arguments, config, settings)
        examination = check_data(asked)
        report = examination.checked.report
        folder = _report_folder(settings, asked)
        output = output or folder / "check.json"
        write_json(
            output,
            {
                "source": asked.source.location,
                "hash": asked.source.hash,
                "task": asked.task.name,
                "columns": dict(examination.columns),
                **report.to_json(),
            },
        )
        left_out = rejected_rows(asked.source.tables, report)
        if left_out.num_rows:
            nested = any(kind in str(left_out.schema) for kind in ("list<", "struct<"))
            rejected = rejected or folder / f"rejected.{'jsonl' if nested else 'csv'}"
            write_table(left_out, rejected, keep_own=True)
    print_report(console, report, asked, examination.columns)
    console.print(f"\nreport    {output}", soft_wrap=True)
    if left_out.num_rows:
        console.print(f"rejected  {rejected}", soft_wrap=True)
    if as_json:
        echo(json.dumps(report.totals(), ensure_ascii=False, indent=2))
    report.raise_failures()


@data.command()
@inquiry
@click.option("--output", type=click.Path(path_type=Path), help="Where the JSON goes.")
@click.option("--html", type=click.Path(path_type=Path), help="Where the page goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the analysis as JSON.")
def analyze(
    arguments: tuple[str, ...],
    config: Path | None,
    output: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show what is in the data: labels, lengths, duplicates, typical words, examples.

    Saves it as JSON and as one HTML page that needs nothing else.
    """
    settings = Settings.read()
    console = Terminal(highlight=False, stderr=as_json)
    with console.status("reading and analyzing the data …"):
        asked = _inquire(arguments, config, settings)
        analysis = analyze_data(asked)
        folder = _report_folder(settings, asked)
        output, html = output or folder / "analysis.json", html or folder / "analysis.html"
        write_json(
            output,
            {"source": asked.source.location, "hash": asked.source.hash, **analysis.to_json()},
        )
        page = render_page(
            analysis,
            title=version_name(asked.source),
            source=asked.source.location,
            hash=asked.source.hash,
            created=f"{datetime.now(settings.timezone):%Y-%m-%d %H:%M %Z}",
        )
        write_text(html, page)
    if as_json:
        echo(json.dumps(analysis.to_json(), ensure_ascii=False, indent=2))
    else:
        print_analysis(console, analysis)
    console.print(f"\nanalysis  {output}\npage      {html}", soft_wrap=True)


@data.command("import")
@inquiry
@click.option("--name", required=True, help="Name of the dataset, such as reviews.")
@click.option("--description", default="", help="What is special about this version.")
def import_(
    arguments: tuple[str, ...],
    config: Path | None,
    name: str,
    description: str,
) -> None:
    """Keep data as a version, to train on as NAME@NUMBER.

    Rows are kept as they are; the same content twice makes one version. Held-out rows are chosen
    now (data.eval_fraction, data.eval_samples, data.split_seed), so that every experiment on the
    version is judged by the same ones.
    """
    settings = Settings.read()
    console = Terminal(highlight=False)
    with (
        console.status("reading, checking and storing the data …"),
        Store(settings.store_url) as store,
    ):
        asked = _inquire(arguments, config, settings, with_model=False)
        version, new = import_data(asked, name, description, settings, store)
        write_down(
            store, actor(), "dataset.import", version.reference, new=new, file=asked.source.name
        )
    if not new:
        console.print(f"[bold]{version.reference}[/bold] has this content already")
    print_version(console, version, settings)


@data.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, one version a line.")
def versions(name: str | None, as_json: bool) -> None:
    """List the versions of a dataset, or of all, the newest first."""
    settings = Settings.read()
    kept = open_versions(settings)
    found = kept.list(name)
    if as_json:
        for version in found:
            echo(_json(version))
        return
    console = Terminal(highlight=False)
    if not found:
        console.print("No version yet; make one with: tunesmith data import FILE --name NAME")
        return
    current = {kept.get(dataset).reference for dataset in {version.name for version in found}}
    console.print(versions_table(found, current, settings, console.width))


@data.command()
@click.argument("reference", metavar="NAME[@NUMBER|@TAG]")
@click.option("--rows", type=click.IntRange(0), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The whole record as JSON.")
def show(reference: str, rows: int, as_json: bool) -> None:
    """Show one version: where it is from, what it holds, its first rows."""
    settings = Settings.read()
    store = open_versions(settings)
    version = store.get(reference)
    if as_json:
        echo(_json(version, indent=2))
        return
    tables = store.read(version) if rows else {}
    print_version(Terminal(highlight=False), version, settings, tables, rows)


@data.command()
@click.argument("old", metavar="NAME@OLD")
@click.argument("new", metavar="NAME@NEW")
@click.option("--examples", type=click.IntRange(0), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
def diff(old: str, new: str, examples: int, as_json: bool) -> None:
    """Show what changed from one version to another: rows, labels, examples."""
    settings = Settings.read()
    console = Terminal(highlight=False, stderr=as_json)
    with console.status("comparing …"):
        before, after, found = compare_versions(old, new, settings, examples)
    if as_json:
        echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return
    print_diff(console, before, after, found)


@data.command()
@click.argument("reference", metavar="NAME@NUMBER")
@click.argument("tag")
@click.option("--delete", is_flag=True, help="Take the tag away.")
def tag(reference: str, tag: str, delete: bool) -> None:
    """Give a version a name of its own: NAME@TAG."""
    store = open_versions(Settings.read())
    if delete:
        store.untag(store.get(reference).name, tag)
        echo(f"{tag} is gone")
        return
    version = store.tag(reference, tag)
    echo(f"{version.name}@{tag} is {version.reference}")


@data.command()
@click.argument("reference", metavar="NAME@NUMBER|NAME@TAG")
def restore(reference: str) -> None:
    """Make an older version the current one; no version is lost."""
    version = open_versions(Settings.read()).restore(reference)
    echo(f"{version.name} is now {version.reference}")


@data.command()
@click.argument("reference", metavar="NAME[@NUMBER|@TAG]")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--split", help="Only this split.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def export(reference: str, target: Path, split: str | None, force: bool) -> None:
    """Write a version's rows to a file, or each split to a file of a folder.

    The file's ending says how: .csv, .tsv, .json, .jsonl, .parquet. Imported again, it is the same
    version.
    """
    for path in export_version(reference, target, split, Settings.read(), force=force):
        echo(path)


def _inquire(
    arguments: tuple[str, ...], config: Path | None, settings: Settings, *, with_model: bool = True
) -> Inquiry:
    """The data that the arguments name; what has no `=` is the source."""
    sources = [text for text in arguments if "=" not in text or _is_there(text)]
    if len(sources) > 1:
        raise ConfigError(
            [Problem("SOURCE", "only one at a time", ", ".join(sources), place="command line")]
        )
    if not sources and config is None:
        config = DEFAULT_CONFIG
    assignments = [text for text in arguments if text not in sources]
    name = sources[0] if sources else None
    return inquire(name, config, assignments, settings, with_model=with_model)


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # too long for a path
        return False


def _report_folder(settings: Settings, asked: Inquiry) -> Path:
    return settings.results_dir / "data_reports" / version_name(asked.source)


def _json(version: DatasetVersion, indent: int | None = None) -> str:
    values = {**asdict(version), "reference": version.reference}
    return json.dumps(values, default=str, ensure_ascii=False, indent=indent)
