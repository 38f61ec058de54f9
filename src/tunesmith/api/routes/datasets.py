"""Datasets: uploaded, listed, looked into, checked, compared."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from tunesmith.api.computing import computations
from tunesmith.api.computing.computations import SHOWN_VALUE, Sent
from tunesmith.api.deps import LightTurnDep, Member, TurnDep, Viewer
from tunesmith.api.http.documentation import BODY, described, errors, polled
from tunesmith.api.uploads import Upload, receive_upload
from tunesmith.data.versions.names import check_name
from tunesmith.errors import ConfigError, DataError, NotFoundError, Problem, invalid
from tunesmith.experiments.datasets.importing import Sender, open_versions
from tunesmith.messages import say
from tunesmith.names import Version, canonical
from tunesmith.schemas.base import TEXT
from tunesmith.schemas.data import (
    CheckResult,
    Comparison,
    DataInspection,
    Datasets,
    DatasetSummary,
    DatasetVersions,
    DatasetVersionState,
    Imported,
    Preview,
)
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.database.column_types import to_json
from tunesmith.store.entities.experiments import DatasetVersion

router = APIRouter(prefix="/datasets", tags=["datasets"])

SETTABLE = (
    "task.",
    "data.validation_rules.",
    "data.format=",
    "data.encoding=",
    "data.delimiter=",
    "data.header=",
    "data.sheet=",
    "data.layout=",
    "data.train_split=",
    "data.eval_split=",
    "data.eval_samples=",
    "data.eval_fraction=",
    "data.split_seed=",
    "data.group_column=",
)
"""What a form may set of a configuration: how the file is read, never another file."""

Name = Annotated[str, Path(description="Name of a dataset.", examples=["reviews"])]
Number = Annotated[int, Path(ge=1, le=2**53, description="Number of a version.", examples=[1])]

_SET = {
    "type": "array",
    "maxItems": 50,
    "items": {"type": "string"},
    "description": "Settings such as task.text_column=review, as on the command line; of sections "
    "task and data.validation_rules, how the file is read, and how rows are held out.",
}
_NAMED = {"type": "string", "description": "Name of the dataset; its next version is made."}
_TABLE = {
    "type": "string",
    "format": "binary",
    "description": "A file of any format that is read, or an archive of them; recognised by its "
    "content.",
}


def _form(required: list[str], **fields: dict[str, Any]) -> dict[str, Any]:
    """The documentation of a form of these fields and no others."""
    schema = {"type": "object", "required": required, "additionalProperties": False}
    return described({"schema": {**schema, "properties": fields}}, "multipart/form-data")


_FORM = _form(
    ["file", "name"],
    file=_TABLE, name=_NAMED, description={"type": "string", "maxLength": 2000}, set=_SET,
)  # fmt: skip
_LOOK_FORM = _form(["file"], file=_TABLE, set=_SET)


@router.post(
    "", status_code=201, responses=errors(409, *BODY), openapi_extra=_FORM, summary="Upload data"
)
def upload(
    call: Member,
    received: Annotated[Upload, Depends(receive_upload, scope="function")],
    _turn: TurnDep,
) -> Imported:
    """Upload a table and keep it as a version of a dataset, to be trained on as NAME@NUMBER.

    The same content twice makes one version: `new` is false then. A dataset belongs to whoever
    uploaded its first version: they and admins add versions to it.
    """
    name = canonical(received.text("name"))
    assignments, problems = _assignments(received)
    if not name:
        problems.append(
            Problem("name", say("required, and not given"), accepted=say("such as reviews"))
        )
    if problems:
        raise ConfigError(problems)
    try:
        check_name(name)
    except DataError as error:
        raise invalid("name", str(error)) from None
    own = call.identity.role is not Role.ADMIN
    sender = Sender(call.identity.name, received.given_name, own=own)
    version, new = call.service.computing.run(
        computations.import_file,
        _sent(received),
        name,
        received.text("description")[:SHOWN_VALUE],
        assignments,
        sender,
        call.settings,
    )
    call.record("dataset.import", version.reference, new=new, file=sender.file)
    return Imported(version=_state(version), new=new)


@router.post(
    "/inspect", responses=errors(*BODY), openapi_extra=_LOOK_FORM, summary="Look at a file"
)
def inspect(
    call: Member,
    _turn: TurnDep,
    received: Annotated[Upload, Depends(receive_upload, scope="function")],
) -> DataInspection:
    """What a table is: how it is read, columns, rows, the task that fits, the columns' roles.
    Nothing is kept."""
    assignments, problems = _assignments(received)
    if problems:
        raise ConfigError(problems)
    found = call.service.computing.run(
        computations.inspect_file, _sent(received), assignments, call.settings
    )
    return DataInspection.model_validate(found)


def _assignments(received: Upload) -> tuple[list[str], list[Problem]]:
    """What a form sets of the configuration, and what is wrong with that."""
    given = received.fields["set"]
    wrong = say("can't be set for an upload")
    accepted = ", ".join(SETTABLE)
    return given, [
        Problem("set", wrong, text, accepted) for text in given if not text.startswith(SETTABLE)
    ]


def _sent(received: Upload) -> Sent:
    return Sent(received.path, received.name, received.given_name)


@router.get("", response_model=Datasets, responses=polled(), summary="List datasets")
def list_datasets(call: Viewer) -> Response:
    """All datasets by name, each with the version that its bare name means."""
    items = [
        DatasetSummary(name=current.name, current=_state(current), versions=count)
        for current, count in open_versions(call.settings).current()
    ]
    return call.polled(Datasets(items=items))


@router.get("/{name}", responses=errors(404), summary="A dataset's versions")
def show(name: Name, call: Viewer) -> DatasetVersions:
    """The versions of a dataset, the newest first, with their tags."""
    current = _find(name, call.settings)
    items = [_state(version) for version in open_versions(call.settings).list(current.name)]
    return DatasetVersions(name=current.name, current=current.reference, items=items)


_Reference = Query(
    max_length=200,
    pattern=TEXT,
    description="Number or tag of a version, or its reference.",
    examples=["1"],
)


@router.get("/{name}/diff", responses=errors(404), summary="Compare two versions")
def diff(
    name: Name,
    call: Viewer,
    _turn: TurnDep,
    old: Annotated[str, _Reference],
    new: Annotated[str, _Reference],
    examples: Annotated[int, Query(ge=0, le=100, description="Examples of each change.")] = 5,
) -> Comparison:
    """What changed from one version of a dataset to another: rows, labels, columns, examples."""
    before, after = _reference(name, old), _reference(name, new)
    run = call.service.computing.run
    found = run(computations.compare, before, after, call.settings, examples)
    return Comparison.model_validate(found)


@router.get("/{name}/{number}", responses=errors(404), summary="One version")
def version(name: Name, number: Number, call: Viewer) -> DatasetVersionState:
    """What a version holds: rows, splits, labels, columns, where it is from."""
    return _state(_find(f"{name}@{number}", call.settings))


@router.get("/{name}/{number}/report", responses=errors(404), summary="Check report")
async def report(
    name: Name,
    number: Number,
    call: Viewer,
    findings: Annotated[int, Query(ge=0, le=10_000, description="Findings to list.")] = 100,
) -> CheckResult:
    """Hold every row of a version against the rules that it was imported with: what is wrong, and
    where. Takes a while for many rows the first time it is asked for."""
    found = await run_in_threadpool(_find, f"{name}@{number}", call.settings)
    whole = await call.service.reports.of(found)
    listed = whole["findings"]
    shown = await run_in_threadpool(to_json, {**whole, "findings": listed[:findings]})
    return CheckResult(reference=found.reference, report=shown, findings=len(listed))


@router.get("/{name}/{number}/preview", responses=errors(404), summary="First rows")
def preview(
    name: Name,
    number: Number,
    call: Viewer,
    _turn: LightTurnDep,
    rows: Annotated[int, Query(ge=1, le=1000, description="Rows of each split.")] = 10,
) -> Preview:
    """The first rows of each split, as they were imported; long texts are cut, and of very long
    rows fewer are shown."""
    found = _find(f"{name}@{number}", call.settings)
    first = call.service.computing.run(computations.first_rows, found, call.settings, rows)
    return Preview(reference=found.reference, columns=found.columns, rows=first)


def _find(reference: str, settings: Settings) -> DatasetVersion:
    """The version. Raises NotFoundError, also for what nothing can be called."""
    _check(Version.of(reference).name)
    return open_versions(settings).get(reference)


def _reference(name: str, given: str) -> str:
    """`reviews@2` for `2`, a tag, or the reference itself."""
    _check(name)
    wanted = Version.of(given)
    return given if wanted.name == name and wanted.which is not None else str(Version(name, given))


def _check(name: str) -> None:
    try:
        check_name(name)
    except DataError as error:
        raise NotFoundError("there is no such dataset: {error}", error=error) from None


def _state(version: DatasetVersion) -> DatasetVersionState:
    values = {name: to_json(value) for name, value in asdict(version).items()}
    values["created_at"] = version.created_at
    return DatasetVersionState(**values, reference=version.reference)
