"""Datasets: uploaded, listed, looked into, checked, compared."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from tunesmith.api import computations
from tunesmith.api.computations import SHOWN_VALUE, Sent
from tunesmith.api.deps import (
    AuditDep,
    LightTurnDep,
    Member,
    ServiceDep,
    SettingsDep,
    TurnDep,
    Viewer,
)
from tunesmith.api.documentation import BODY, errors, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.schemas.base import TEXT
from tunesmith.api.schemas.data import (
    CheckResult,
    Comparison,
    DataInspection,
    Datasets,
    DatasetSummary,
    DatasetVersions,
    DatasetVersionState,
    Imported,
    Preview,
    PreviewRow,
)
from tunesmith.api.uploads import Upload, receive_upload
from tunesmith.data.versions.names import check_name
from tunesmith.errors import ConfigError, DataError, NotFoundError, Problem
from tunesmith.experiments.datasets import (
    Sender,
    open_versions,
)
from tunesmith.settings import Settings
from tunesmith.tracking.column_types import to_json
from tunesmith.tracking.entities import DatasetVersion
from tunesmith.tracking.service_entities import Role

router = APIRouter(prefix="/datasets", tags=["datasets"])

SETTABLE = (
    "task.",
    "data.validation_rules.",
    "data.train_split=",
    "data.eval_split=",
    "data.eval_samples=",
    "data.eval_fraction=",
    "data.split_seed=",
)
"""What a form may set of a configuration: how the file is read, never another file."""

Name = Annotated[str, Path(description="Name of a dataset.", examples=["reviews"])]
Number = Annotated[int, Path(ge=1, le=2**53, description="Number of a version.", examples=[1])]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "name"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV, TSV, JSON, JSON Lines or Parquet, plain or packed "
                            "with gzip, bzip2 or Zstandard; told by its content.",
                        },
                        "name": {
                            "type": "string",
                            "description": "Name of the dataset; its next version is made.",
                        },
                        "description": {"type": "string", "maxLength": 2000},
                        "set": {
                            "type": "array",
                            "maxItems": 50,
                            "items": {"type": "string"},
                            "description": "Settings such as task.text_column=review, as on the "
                            "command line; of sections task and data.validation_rules, and how "
                            "rows are held out.",
                        },
                    },
                }
            }
        },
    }
}


_ONLY_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post(
    "",
    status_code=201,
    response_model=Imported,
    responses=errors(409, *BODY),
    openapi_extra=_FORM,
    summary="Upload data",
)
def upload(
    service: ServiceDep,
    identity: Member,
    audit: AuditDep,
    received: Annotated[Upload, Depends(receive_upload, scope="function")],
    _turn: TurnDep,
) -> Imported:
    """Upload a table and keep it as a version of a dataset, to be trained on as NAME@NUMBER.

    The same content twice makes one version: `new` is false then. A dataset belongs to whoever
    uploaded its first version: they and admins add versions to it.
    """
    name = received.text("name")
    assignments = received.fields.get("set", [])
    problems = [
        Problem("set", "can't be set for an upload", text, ", ".join(SETTABLE))
        for text in assignments
        if not text.startswith(SETTABLE)
    ]
    if not name:
        problems.append(Problem("name", "required, and not given", accepted="such as reviews"))
    if problems:
        raise ConfigError(problems)
    try:
        check_name(name)
    except DataError as error:
        raise ConfigError([Problem("name", str(error))]) from None
    sender = Sender(identity.name, received.given_name, own=identity.role is not Role.ADMIN)
    description = received.text("description")[:SHOWN_VALUE]
    version, new = service.computing.run(
        computations.import_file,
        _sent(received),
        name,
        description,
        assignments,
        sender,
        service.settings,
    )
    audit.record("dataset.import", version.reference, new=new, file=sender.file)
    return Imported(version=_state(version), new=new)


@router.post(
    "/inspect",
    responses=errors(*BODY),
    openapi_extra=_ONLY_FILE,
    summary="Look at a file",
)
def inspect(
    service: ServiceDep,
    _: Member,
    _turn: TurnDep,
    received: Annotated[Upload, Depends(receive_upload, scope="function")],
) -> DataInspection:
    """What a table is: columns, rows, the task that fits, the columns' roles. Nothing is kept."""
    found = service.computing.run(computations.inspect_file, _sent(received), service.settings)
    return DataInspection.model_validate(found)


def _sent(received: Upload) -> Sent:
    """Raises ConfigError for a form without a file."""
    if received.path is None:
        raise ConfigError([Problem("file", "required, and not given", accepted="a file")])
    return Sent(received.path, received.name, received.given_name)


@router.get(
    "",
    response_model=Datasets,
    responses={**errors(), **unchanged()},
    summary="List datasets",
)
def list_datasets(request: Request, settings: SettingsDep, _: Viewer) -> Response:
    """All datasets by name, each with the version that its bare name means."""
    items = [
        DatasetSummary(name=current.name, current=_state(current), versions=count)
        for current, count in open_versions(settings).current()
    ]
    return conditional(request, Datasets(items=items))


@router.get("/{name}", responses=errors(404), summary="A dataset's versions")
def show(name: Name, settings: SettingsDep, _: Viewer) -> DatasetVersions:
    """The versions of a dataset, the newest first, with their tags."""
    current = _find(name, settings)
    found = open_versions(settings).list(current.name)
    return DatasetVersions(
        name=current.name, current=current.reference, items=[_state(version) for version in found]
    )


_Reference = Query(
    max_length=200,
    pattern=TEXT,
    description="Number or tag of a version, or its reference.",
    examples=["1"],
)


@router.get("/{name}/diff", responses=errors(404), summary="Compare two versions")
def diff(
    name: Name,
    service: ServiceDep,
    _: Viewer,
    _turn: TurnDep,
    old: Annotated[str, _Reference],
    new: Annotated[str, _Reference],
    examples: Annotated[int, Query(ge=0, le=100, description="Examples of each change.")] = 5,
) -> Comparison:
    """What changed from one version of a dataset to another: rows, labels, columns, examples."""
    found = service.computing.run(
        computations.compare,
        _reference(name, old),
        _reference(name, new),
        service.settings,
        examples,
    )
    return Comparison.model_validate(found)


@router.get("/{name}/{number}", responses=errors(404), summary="One version")
def version(name: Name, number: Number, settings: SettingsDep, _: Viewer) -> DatasetVersionState:
    """What a version holds: rows, splits, labels, columns, where it is from."""
    return _state(_find(f"{name}@{number}", settings))


@router.get("/{name}/{number}/report", responses=errors(404), summary="Check report")
async def report(
    name: Name,
    number: Number,
    service: ServiceDep,
    _: Viewer,
    findings: Annotated[int, Query(ge=0, le=10_000, description="Findings to list.")] = 100,
) -> CheckResult:
    """Hold every row of a version against the rules that it was imported with: what is wrong, and
    where. Takes a while for many rows the first time it is asked for."""
    found = await run_in_threadpool(_find, f"{name}@{number}", service.settings)
    whole = await service.reports.of(found)
    listed = whole["findings"]
    shown = await run_in_threadpool(to_json, {**whole, "findings": listed[:findings]})
    return CheckResult(reference=found.reference, report=shown, findings=len(listed))


@router.get("/{name}/{number}/preview", responses=errors(404), summary="First rows")
def preview(
    name: Name,
    number: Number,
    service: ServiceDep,
    _: Viewer,
    _turn: LightTurnDep,
    rows: Annotated[int, Query(ge=1, le=1000, description="Rows of each split.")] = 10,
) -> Preview:
    """The first rows of each split, as they were imported; long texts are cut, and of very long
    rows fewer are shown."""
    found = _find(f"{name}@{number}", service.settings)
    first = service.computing.run(computations.first_rows, found, service.settings, rows)
    return Preview(
        reference=found.reference,
        columns=list(found.columns),
        rows=[PreviewRow.model_validate(row) for row in first],
    )


def _find(reference: str, settings: Settings) -> DatasetVersion:
    """The version. Raises NotFoundError, also for what nothing can be called."""
    _check(reference.partition("@")[0])
    return open_versions(settings).get(reference)


def _reference(name: str, given: str) -> str:
    """`reviews@2` for `2`, a tag, or the reference itself."""
    _check(name)
    return given if given.startswith(f"{name}@") else f"{name}@{given}"


def _check(name: str) -> None:
    try:
        check_name(name)
    except DataError as error:
        raise NotFoundError(f"there is no such dataset: {error}") from None


def _state(version: DatasetVersion) -> DatasetVersionState:
    return DatasetVersionState.model_validate(
        {**to_json(asdict(version)), "reference": version.reference,
         "created_at": version.created_at}
    )  # fmt: skip
