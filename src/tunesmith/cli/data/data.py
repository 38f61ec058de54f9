"""`tunesmith data`: check, analyze and import data; list, show, compare and export its versions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, echo_json, gettext
from tunesmith.cli.console.records import record
from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.data.analysis import print_analysis
from tunesmith.cli.data.display import print_diff, print_report, print_version, versions_table
from tunesmith.cli.data.label_errors import label_errors
from tunesmith.cli.data.naming import Named, inquiry
from tunesmith.cli.data.reports import REPORTS, report_folder
from tunesmith.cli.data.tokens import print_tokens
from tunesmith.data.analysis.page import render_page
from tunesmith.data.checking.rejected import rejected_rows
from tunesmith.data.checking.report import CheckReport, NoRowsError
from tunesmith.data.writing import has_mark, write_table
from tunesmith.errors import DataError
from tunesmith.experiments.datasets.importing import (
    Inquiry,
    analyze_data,
    check_data,
    import_data,
    open_versions,
    version_name,
)
from tunesmith.experiments.datasets.refreshing import refresh_test
from tunesmith.experiments.datasets.tokens import rows_as_tokens, usual_model
from tunesmith.experiments.datasets.versions import compare_versions, export_version
from tunesmith.files.writing import write_json, write_text
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion
from tunesmith.store.store import Store


@click.group(cls=OnceGroup)
def data() -> None:
    """Check, analyze, import, compare and export data.

    SOURCE is what `data.dataset_name` of a configuration may be: a file, a folder, a dataset of the
    hub, package:NAME/path, or a version such as reviews@3. Without it, the configuration's.
    """


data.add_command(label_errors)


@data.command()
@inquiry
@click.option("--output", type=click.Path(path_type=Path), help="Where the report goes (JSON).")
@click.option(
    "--rejected",
    type=click.Path(path_type=Path),
    help="Where rejected rows go: .csv, .parquet, .jsonl; none are written where there are none.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON, without its findings.")
def check(named: Named, output: Path | None, rejected: Path | None, as_json: bool) -> None:
    """Report every row that breaks a rule, with what would mend it.

    Saves the whole report, and the rejected rows with rule and reason, to mend and send back.
    """
    settings = Settings.read()
    console = Terminal(stderr=as_json)
    with console.working(gettext("reading and checking the data")):
        asked = named(settings)
        report, refusal = _checked(asked)
        folder = report_folder(settings, asked.source)
        output = output or folder / REPORTS[0]
        of = {"task": asked.task.name, "columns": dict(asked.task.columns)}
        write_json(output, {**_origin(asked), **of, **report.to_json()})
        left_out = rejected_rows(asked.source.tables, report)
        if left_out.num_rows:
            nested = any(kind in str(left_out.schema) for kind in ("list<", "struct<"))
            rejected = rejected or folder / f"rejected.{'jsonl' if nested else 'csv'}"
            write_table(left_out, rejected, keep_own=True)
    print_report(console, report, asked, asked.task.columns)
    console.say("\nreport    {output}", output=output, soft_wrap=True)
    if left_out.num_rows:
        console.say("rejected  {rejected}", rejected=rejected, soft_wrap=True)
    if as_json:
        echo_json(report.totals(), indent=2)
    if refusal is not None:
        raise refusal
    report.raise_failures()


def _checked(asked: Inquiry) -> tuple[CheckReport, DataError | None]:
    """What the rules found, and what is wrong where no row of a split is left."""
    try:
        return check_data(asked).checked.report, None
    except NoRowsError as error:
        return error.report, DataError(
            "no row{of} is left: mend the rows, loosen data.validation_rules, or name the "
            "right columns",
            of=error.of,
        )


@data.command()
@inquiry
@click.option("--output", type=click.Path(path_type=Path), help="Where the JSON goes.")
@click.option("--html", type=click.Path(path_type=Path), help="Where the page goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the analysis as JSON.")
def analyze(named: Named, output: Path | None, html: Path | None, as_json: bool) -> None:
    """Show what is in the data: labels, lengths, duplicates, typical words, examples.

    Saves it as JSON and as one HTML page that needs nothing else.
    """
    settings = Settings.read()
    console = Terminal(stderr=as_json)
    with console.working(gettext("reading and analyzing the data")):
        asked = named(settings)
        analysis = analyze_data(asked)
        folder = report_folder(settings, asked.source)
        output, html = output or folder / REPORTS[1], html or folder / "analysis.html"
        write_json(output, {**_origin(asked), **analysis.to_json()})
        created = f"{datetime.now(settings.timezone):%Y-%m-%d %H:%M %Z}"
        title = version_name(asked.source)
        write_text(html, render_page(analysis, title=title, created=created, **_origin(asked)))
    if as_json:
        echo_json(analysis.to_json(), indent=2)
    else:
        print_analysis(console, analysis)
    console.print()
    console.say("analysis  {path}", path=output, soft_wrap=True)
    console.say("page      {path}", path=html, soft_wrap=True)


@data.command()
@inquiry
@click.option(
    "--row",
    "rows",
    type=click.IntRange(1, 2**53),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Number of the row in its source; several by giving it again.",
)
@click.option("--split", help="Its split, where several have such a row.")
@click.option("--task", help="What is learned; without it, guessed from the columns.")
@click.option("--model", help="Base model; without it, the configuration's, or the task's usual.")
@click.option("--json", "as_json", is_flag=True, help="The tokens as JSON.")
def tokens(
    named: Named,
    rows: tuple[int, ...],
    split: str | None,
    task: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Show rows as the model sees them: what is learned, what is cut off, what is unknown.

    They are encoded as in training, by the model's own tokenizer.
    """
    settings = Settings.read()
    console = Terminal(stderr=as_json)
    given = [f"task.name={task}"] if task else []
    given += [f"model.name={model}"] if model else []
    with console.working(gettext("reading the data and the model's tokenizer")):
        asked = named(settings, more=given)
        if asked.model is None and (usual := usual_model(asked.task.name)):
            given += [] if task else [f"task.name={asked.task.name}"]
            given += [f"model.name={usual}"]
            asked = named(settings, more=given)
        found = rows_as_tokens(asked, rows, split)
    if as_json:
        echo_json(found.model_dump(mode="json"), indent=2)
    else:
        print_tokens(console, found)


@data.command("import")
@inquiry
@click.option("--name", required=True, help="Name of the dataset, such as reviews.")
@click.option("--description", default="", help="What is special about this version.")
def import_(named: Named, name: str, description: str) -> None:
    """Keep data as a version, to train on as NAME@NUMBER.

    Rows are kept as they are; the same content twice makes one version. Held-out rows are chosen
    now (data.eval_fraction, data.eval_samples, data.split_seed), so that every experiment on the
    version is judged by the same ones.
    """
    settings = Settings.read()
    console = Terminal()
    with (
        console.working(gettext("reading, checking and storing the data")),
        Store(settings.store_url) as store,
    ):
        asked = named(settings, with_model=False)
        version, new = import_data(asked, name, description, settings, store)
        record(store, "dataset.import", version.reference, new=new, file=asked.source.name)
    if not new:
        console.print(
            gettext(
                "[bold]{reference}[/bold] has this content already", reference=version.reference
            )
        )
    print_version(console, version, settings)


@data.command("refresh-test")
@inquiry
def refresh_test_(named: Named) -> None:
    """Draw other rows to judge by, where experiments have looked at those of now too often.

    Nothing is changed: experiments with the printed field are judged by rows that have judged
    none before. They can be compared with each other, and not with earlier ones.
    """
    settings = Settings.read()
    console = Terminal()
    with (
        console.working(gettext("reading the data")),
        Store(settings.store_url) as store,
    ):
        found = refresh_test(named(settings, with_model=False), store)
    console.say(
        "data.test_draw: {draw} holds out {rows:,} rows that have judged no "
        "experiment here; those of now have judged {looks:,}",
        draw=found.draw,
        rows=found.rows,
        looks=found.looks,
    )
    console.say("tunesmith train --config FILE data.test_draw={draw}", draw=found.draw)


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
            echo_json(_values(version))
        return
    console = Terminal()
    if not found:
        console.say("No version yet; make one with: tunesmith data import FILE --name NAME")
        return
    current = {kept.get(dataset).reference for dataset in {version.name for version in found}}
    console.print(versions_table(found, current, settings))


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
        echo_json(_values(version), indent=2)
        return
    tables = store.read(version) if rows else {}
    print_version(Terminal(), version, settings, tables, rows)


@data.command()
@click.argument("old", metavar="NAME@OLD")
@click.argument("new", metavar="NAME@NEW")
@click.option("--examples", type=click.IntRange(0), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
def diff(old: str, new: str, examples: int, as_json: bool) -> None:
    """Show what changed from one version to another: rows, labels, examples."""
    settings = Settings.read()
    console = Terminal(stderr=as_json)
    with console.status("comparing …"):
        before, after, found = compare_versions(old, new, settings, examples)
    if as_json:
        echo_json(found.to_json(), indent=2)
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
        echo("{tag} is gone", tag=tag)
        return
    version = store.tag(reference, tag)
    echo("{name}@{tag} is {reference}", name=version.name, tag=tag, reference=version.reference)


@data.command()
@click.argument("reference", metavar="NAME@NUMBER|NAME@TAG")
def restore(reference: str) -> None:
    """Make an older version the current one; no version is lost."""
    version = open_versions(Settings.read()).restore(reference)
    echo("{name} is now {reference}", name=version.name, reference=version.reference)


@data.command()
@click.argument("reference", metavar="NAME[@NUMBER|@TAG]")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--split", help="Only this split.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option(
    "--bom/--no-bom",
    default=True,
    show_default=True,
    help="A .csv begins with a byte-order mark, by which Excel knows that it is UTF-8.",
)
def export(reference: str, target: Path, split: str | None, force: bool, bom: bool) -> None:
    """Write a version's rows to a file, or each split to a file of a folder.

    The file's ending says how: .csv, .tsv, .json, .jsonl, .parquet. Imported again, it is the same
    version.
    """
    settings = Settings.read()
    written = export_version(reference, target, split, settings, force=force, mark=bom)
    for path in written:
        echo(path)
    if bom and any(map(has_mark, written)):
        echo(
            gettext(
                "with a byte-order mark, so that Excel reads it as UTF-8; --no-bom leaves it out"
            ),
            err=True,
        )


def _values(version: DatasetVersion) -> dict[str, Any]:
    return {**asdict(version), "reference": version.reference}


def _origin(asked: Inquiry) -> dict[str, str]:
    return {"source": asked.source.location, "hash": asked.source.hash}
