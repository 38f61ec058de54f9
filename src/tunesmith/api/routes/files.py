"""What an experiment left: metrics over steps, log, files, adapter; and all of it live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tunesmith.api.deps import ExperimentDep, IdentifyDep, ServiceDep, StoreDep
from tunesmith.api.documentation import errors, unchanged
from tunesmith.api.downloads import download
from tunesmith.api.etag import conditional
from tunesmith.api.folder import ExperimentFolder
from tunesmith.api.schemas.base import LARGEST, TEXT
from tunesmith.api.schemas.experiments import (
    FileEntry,
    FileList,
    LogPart,
    MetricHistories,
    MetricPoint,
)
from tunesmith.api.stream import live_events, read_log

router = APIRouter(prefix="/experiments/{experiment_id}", tags=["files"])

MOST_BYTES = 1 << 20
"""Most bytes of a log in one answer."""

MOST_LINES = 10_000


@router.get(
    "/metrics",
    response_model=MetricHistories,
    responses={**errors(404), **unchanged()},
    summary="Metrics over steps",
)
def metrics(
    request: Request,
    experiment: ExperimentDep,
    store: StoreDep,
    name: Annotated[
        str | None, Query(max_length=200, pattern=TEXT, description="Only this metric.")
    ] = None,
    since: Annotated[
        int | None, Query(ge=-LARGEST, le=LARGEST, description="Only steps after this one.")
    ] = None,
    points: Annotated[int, Query(ge=4, le=20_000, description="Most points per metric.")] = 1000,
) -> Response:
    """All metrics of an experiment, or one. Histories with more than `points` points are thinned
    out so that they look the same: peaks and dips stay (MinMaxLTTB)."""
    names = store.metric_names(experiment.id) if name is None else [name]
    histories = {each: store.metrics_sampled(experiment.id, each, since, points) for each in names}
    whole = MetricHistories(
        experiment_id=experiment.id,
        points=points,
        metrics={
            each: [MetricPoint.model_validate(point) for point in found]
            for each, found in histories.items()
        },
    )
    return conditional(request, whole)


@router.get(
    "/logs",
    response_model=LogPart,
    responses={**errors(404), **unchanged()},
    summary="A part of the log",
)
def logs(
    request: Request,
    experiment: ExperimentDep,
    service: ServiceDep,
    tail: Annotated[
        int | None, Query(ge=1, le=MOST_LINES, description="The last lines, instead of a part.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="Where to begin, in bytes.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_BYTES, description="Most bytes that are given.")] = 1
    << 16,
) -> Response:
    """Whole lines of logs.txt: go on reading at `next_offset`. Without `tail`, from `offset` on."""
    folder = ExperimentFolder(experiment, service.copies, service.settings.results_dir)
    finished = experiment.status.is_finished
    if tail is None:
        return conditional(request, read_log(folder, offset, limit, finished=finished))
    return conditional(request, _last_lines(folder, tail, finished=finished))


@router.get(
    "/files",
    response_model=FileList,
    responses={**errors(404), **unchanged()},
    summary="List the files",
)
def files(request: Request, experiment: ExperimentDep, service: ServiceDep) -> Response:
    """Every file in the experiment's folder, with its size."""
    found = ExperimentFolder(experiment, service.copies, service.settings.results_dir).list()
    listed = FileList(
        experiment_id=experiment.id,
        files=[FileEntry(path=path, size=size) for path, size in found.items()],
    )
    return conditional(request, listed)


_BYTES = {"schema": {"type": "string", "format": "binary"}}


@router.get(
    "/files/{path:path}",
    response_class=Response,
    responses={
        **errors(404, 416),
        200: {"description": "The file.", "content": {"application/octet-stream": _BYTES}},
        206: {
            "description": "A part of the file, as Range asked for.",
            "content": {"application/octet-stream": _BYTES},
        },
    },
    summary="Download a file",
)
def file(request: Request, experiment: ExperimentDep, path: str, service: ServiceDep) -> Response:
    """One file of the experiment's folder, always as a download."""
    found = ExperimentFolder(experiment, service.copies, service.settings.results_dir).find(path)
    return download(path.rpartition("/")[2], found, request.headers)


@router.get(
    "/adapter",
    response_class=Response,
    responses={
        **errors(404),
        200: {"description": "A ZIP archive.", "content": {"application/zip": _BYTES}},
    },
    summary="Download the adapter",
)
def adapter(experiment: ExperimentDep, service: ServiceDep) -> Response:
    """The trained adapter with its tokenizer and model card, as a ZIP archive."""
    folder = ExperimentFolder(experiment, service.copies, service.settings.results_dir)
    folder.adapter()
    return StreamingResponse(
        folder.zip_adapter(),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{experiment.id}-adapter.zip"'},
    )


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=errors(404),
    summary="A live stream",
)
async def events(
    experiment: ExperimentDep,
    service: ServiceDep,
    identify_again: IdentifyDep,
    last_event_id: Annotated[
        str | None, Header(max_length=60, description="Where to go on: the id of an event.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `status` (as GET /task gives it), `metrics` (name → new points) and
    `log` (new lines) as they come; `end` when the experiment has ended. Without `end` it breaks off
    when the token opens nothing any more."""
    async for event in live_events(experiment.id, service, last_event_id, identify_again):
        yield event


def _last_lines(folder: ExperimentFolder, count: int, *, finished: bool) -> LogPart:
    """The last `count` lines, as far as they lie in the last MOST_BYTES; a newline alone ends one.

    A line without its end waits, unless `finished`; one whose beginning lies before is left out,
    unless it is the only one.
    """
    size = folder.read_log(0, 0)[1]
    begin = max(0, size - MOST_BYTES)
    piece, size = folder.read_log(begin, MOST_BYTES)
    if not finished:
        piece = piece[: piece.rfind(b"\n") + 1]
    lines = BytesIO(piece).readlines()  # bytes.splitlines would split at \r too
    if begin and len(lines) > 1:
        del lines[0]
    text, end = b"".join(lines[-count:]), begin + len(piece)
    return LogPart(
        text=text.decode("utf-8", "replace"), offset=end - len(text), next_offset=end, size=size
    )
