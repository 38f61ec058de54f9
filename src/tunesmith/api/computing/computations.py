"""What the API computes in processes of their own: all that reads whole datasets."""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from tunesmith.api.computing.uploaded import harmless_name
from tunesmith.api.http.problems import known
from tunesmith.api.http.server_paths import problem_without_paths
from tunesmith.config.yaml import Draft, read_draft
from tunesmith.data.reading.rows import ROW
from tunesmith.data.writing import write_table
from tunesmith.errors import ConfigError, DataError, Problem
from tunesmith.experiments.datasets.importing import (
    Sender,
    check_data,
    import_data,
    inquire,
    open_versions,
)
from tunesmith.experiments.datasets.inspection import check_configuration, inspect_data
from tunesmith.experiments.datasets.tokens import tokens_of_draft
from tunesmith.experiments.datasets.versions import compare_versions
from tunesmith.experiments.lifecycle.confinement import confinement_problems, hub_problems
from tunesmith.experiments.lifecycle.prepare import check
from tunesmith.messages import say
from tunesmith.models.catalogue import base_models
from tunesmith.models.locate import parse_model
from tunesmith.names import Hub
from tunesmith.settings import Settings
from tunesmith.store.database.column_types import to_json
from tunesmith.store.entities.experiments import DatasetVersion
from tunesmith.store.store import Store
from tunesmith.values import no_formula

SHOWN_VALUE = 2000
"""Characters of a text that are shown."""

SHOWN_NESTED = 20_000
"""Characters of JSON up to which a list or a mapping is shown as what it is."""

SHOWN_ROWS = 4_000_000
"""Characters of JSON after which no more rows are shown."""


@dataclass(frozen=True)
class Sent:
    """A file that was sent."""

    path: Path
    """Where it lies."""
    given: str
    """The name that the sender gave it, as it came."""
    shown: str
    """The same, fit to be shown."""


def work(
    sender: Connection,
    seconds: float,
    function: Callable[..., Any],
    given: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    """Send what `function` gives, or raises. In the process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the API, which ends this
    # Should the API be killed, nobody is left to end this: the system does.
    most = int(seconds * (os.cpu_count() or 1)) + 1
    limit = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if limit == resource.RLIM_INFINITY or most < limit:
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    try:
        outcome: tuple[str, Any] = ("value", function(*given, **named))
    except Exception as error:  # noqa: BLE001 - it goes to the log of the API, with its place
        # What caused it doesn't go along: whether the disk is full is decided here.
        meant = known(error)
        outcome = ("error", meant) if meant else ("unexpected", traceback.format_exc())
    sender.send(outcome)


def import_file(
    sent: Sent,
    name: str,
    description: str,
    assignments: list[str],
    sender: Sender,
    settings: Settings,
) -> tuple[DatasetVersion, bool]:
    """Record a file as a version of a dataset; whether it is new. Raises as `import_data` does."""
    path = harmless_name(sent.path, sent.given)
    with _called(path, sent.shown), Store(settings.store_url) as store:
        asked = inquire(str(path), None, assignments, settings, with_model=False)
        return import_data(asked, name, description, settings, store, sender=sender)


def inspect_file(sent: Sent, assignments: list[str], settings: Settings) -> dict[str, Any]:
    """What a file is, as `inspect_data` finds; long values are cut. Raises as that does."""
    path = harmless_name(sent.path, sent.given)
    with _called(path, sent.shown):
        found = inspect_data(str(path), settings, assignments)
    return {
        **to_json(found.model_dump(exclude={"first", "columns"})),
        "first": [{key: shown_value(value) for key, value in row.items()} for row in found.first],
        "columns": [
            {"name": c.name, "type": c.type, "examples": [shown_value(v) for v in c.examples]}
            for c in found.columns
        ],
    }


def validate(values: Mapping[str, Any], settings: Settings) -> tuple[list[Problem], list[str]]:
    """What is wrong with a configuration, its data and its model; and what was not looked at."""
    try:
        return [], check(confined(values, settings), settings)
    except ConfigError as error:
        return [problem_without_paths(p, settings) for p in error.problems], []


def check_rows(
    values: Mapping[str, Any], settings: Settings, findings: int, *, hub: bool
) -> dict[str, Any]:
    """The rows of a configuration's data against its rules, with so many of the findings.

    `hub`: data may be fetched from there. Raises ConfigError, DataError.
    """
    found, rejected = check_configuration(confined(values, settings, hub=hub), settings)
    report = found.checked.report.to_json()
    listed = report["findings"]
    return {
        "report": to_json({**report, "findings": listed[:findings]}),
        "findings": len(listed),
        "columns": dict(found.columns),
        "rejected": rejected.num_rows,
    }


def row_tokens(
    values: Mapping[str, Any], rows: Sequence[int], settings: Settings, *, hub: bool
) -> dict[str, Any]:
    """Rows of a configuration's data as its model sees them; `hub`: data may be fetched from there.

    No model is. Raises ConfigError, DataError, ModelError.
    """
    draft = confined(values, settings, hub=hub)
    name = draft.config().model.name
    if isinstance(parse_model(name), Hub) and all(each.name != name for each in base_models()):
        here = say("its tokenizer isn't on the machine of the API: it is fetched by a training")
        raise ConfigError([Problem("model.name", here, name)])
    return tokens_of_draft(draft, rows, settings).model_dump(mode="json")


def rejected_csv(values: Mapping[str, Any], settings: Settings, *, hub: bool) -> bytes:
    """The rows that the rules reject, as CSV. Raises as `check_rows` does."""
    _found, rejected = check_configuration(confined(values, settings, hub=hub), settings)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rejected.csv"
        write_table(_without_formulas(rejected), path)
        return path.read_bytes()


def _without_formulas(table: pa.Table) -> pa.Table:
    """`table` with texts and names of columns that no spreadsheet takes for formulas."""
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            texts = [text and no_formula(text) for text in table.column(number).to_pylist()]
            table = table.set_column(number, field, pa.array(texts, field.type))
    return table.rename_columns([no_formula(name) for name in table.column_names])


def report_of(reference: str, assignments: list[str], settings: Settings) -> dict[str, Any]:
    """The whole check report of a version under the rules that are assigned."""
    asked = inquire(reference, None, assignments, settings, with_model=False)
    report: dict[str, Any] = to_json(check_data(asked).checked.report.to_json())
    return report


def compare(old: str, new: str, settings: Settings, examples: int) -> dict[str, Any]:
    """What changed from one version to another, and their references. Raises NotFoundError."""
    before, after, changes = compare_versions(old, new, settings, examples)
    changed = to_json(changes.to_json())
    return {"old": before.reference, "new": after.reference, "changes": changed}


def first_rows(version: DatasetVersion, settings: Settings, rows: int) -> list[dict[str, Any]]:
    """The first rows of each split: `split`, `row` and `values`, of which long ones are cut.

    Fewer where they are very long.
    """
    shown = []
    tables = open_versions(settings).read(version, rows)
    for split, table in tables.items():
        left = SHOWN_ROWS // len(tables)
        for number in range(table.num_rows):
            [row] = table.slice(number, 1).to_pylist()
            values = {key: shown_value(row[key]) for key in row if key != ROW}
            left -= len(json.dumps(values, ensure_ascii=False))
            if left < 0:
                break
            shown.append({"split": split, "row": row[ROW], "values": values})
    return shown


def shown_value(value: Any) -> Any:
    """`value` as JSON, cut where it is long."""
    if isinstance(value, str) and len(value) > SHOWN_VALUE:
        return value[: SHOWN_VALUE - 1] + "…"
    found = to_json(value)
    if isinstance(found, list | dict):
        text = json.dumps(found, ensure_ascii=False)
        if len(text) > SHOWN_NESTED:
            return text[: SHOWN_VALUE - 1] + "…"
    return found


def confined(values: Mapping[str, Any], settings: Settings, *, hub: bool = True) -> Draft:
    """The draft. Raises ConfigError with every problem, also of what may not be named here.

    `hub`: data may be fetched from there.
    """
    draft = read_draft(values)
    if draft.partial is not None:
        out = [*confinement_problems(draft.partial, settings)]
        out += [] if hub else hub_problems(draft.partial)
        if out:
            raise draft.error(out)
    return draft


@contextmanager
def _called(path: Path, name: str) -> Iterator[None]:
    """Let errors name an uploaded file as its sender did, never by where it lies meanwhile."""
    places = (str(path.resolve()), str(path))  # the longer one first

    def renamed(value: Any) -> Any:
        for place in places:
            value = value.replace(place, name) if isinstance(value, str) else value
        return value

    try:
        yield
    except DataError as error:
        raise DataError(renamed(str(error))) from None
    except ConfigError as error:
        raise ConfigError(
            replace(problem, message=renamed(problem.message), value=renamed(problem.value))
            for problem in error.problems
        ) from None
