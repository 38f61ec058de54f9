"""What an experiment left: metrics over steps, log, files, adapter; and all of it live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tunesmith.api.deps import ExperimentDep, FolderDep, IdentifyDep, Viewer
from tunesmith.api.downloads import download, zip_adapter
from tunesmith.api.http.documentation import errors, polled
from tunesmith.api.stream import live_events, read_log
from tunesmith.errors import NotFoundError, shorten
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.base import LARGEST, TEXT
from tunesmith.schemas.experiments import FileEntry, FileList, LogPart, MetricHistories

router = APIRouter(prefix="/experiments/{experiment_id}", tags=["files"])

MOST_BYTES = 1 << 20
"""Most bytes of a log in one answer."""

MOST_LINES = 10_000


@router.get(
    "/metrics", response_model=MetricHistories, responses=polled(404), summary="Metrics over steps"
)
def metrics(
    call: Viewer,
    experiment: ExperimentDep,
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
    store, id_ = call.store, experiment.id
    names = store.metric_names(id_) if name is None else [name]
    histories = {each: store.metrics_sampled(id_, each, since, points) for each in names}
    return call.polled(MetricHistories(experiment_id=id_, points=points, metrics=histories))


@router.get("/logs", response_model=LogPart, responses=polled(404), summary="A part of the log")
def logs(
    call: Viewer,
    experiment: ExperimentDep,
    folder: FolderDep,
    tail: Annotated[
        int | None, Query(ge=1, le=MOST_LINES, description="The last lines, instead of a part.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="Where to begin, in bytes.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_BYTES, description="Most bytes that are given.")] = 1
    << 16,
) -> Response:
    """Whole lines of logs.txt: go on reading at `next_offset`. Without `tail`, from `offset` on."""
    finished = experiment.status.is_finished
    if tail is None:
        return call.polled(read_log(folder, offset, limit, finished=finished))
    return call.polled(_last_lines(folder, tail, finished=finished))


@router.get("/files", response_model=FileList, responses=polled(404), summary="List the files")
def files(call: Viewer, experiment: ExperimentDep, folder: FolderDep) -> Response:
    """Every file in the experiment's folder, with its size."""
    found = [FileEntry(path=path, size=size) for path, size in folder.files().items()]
    return call.polled(FileList(experiment_id=experiment.id, files=found))


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
def file(call: Viewer, experiment: ExperimentDep, path: str, folder: FolderDep) -> Response:
    """One file of the experiment's folder, always as a download."""
    found = folder.find(path)
    if found is None:
        raise NotFoundError(
            "experiment {id} has no file {name}; GET /experiments/{same}/files lists them.",
            id=experiment.id,
            name=shorten(path),
            same=experiment.id,
        )
    return download(path.rpartition("/")[2], found, call.request.headers)


@router.get(
    "/adapter",
    response_class=Response,
    responses={
        **errors(404),
        200: {"description": "A ZIP archive.", "content": {"application/zip": _BYTES}},
    },
    summary="Download the adapter",
)
def adapter(experiment: ExperimentDep, folder: FolderDep) -> Response:
    """The trained adapter with its tokenizer and model card, as a ZIP archive."""
    paths = folder.adapter_files()
    if not paths:
        raise NotFoundError(
            "experiment {id} has no adapter: it is {status}.",
            id=experiment.id,
            status=experiment.status,
        )
    return StreamingResponse(
        zip_adapter(folder, paths, experiment.name),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{experiment.id}-adapter.zip"'},
    )


@router.get(
    "/events", response_class=EventSourceResponse, responses=errors(404), summary="A live stream"
)
async def events(
    call: Viewer,
    experiment: ExperimentDep,
    identify_again: IdentifyDep,
    last_event_id: Annotated[
        str | None, Header(max_length=60, description="Where to go on: the id of an event.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `status` (as GET /task gives it), `metrics` (name → new points) and
    `log` (new lines) as they come; `end` when the experiment has ended. Without `end` it breaks off
    when the token opens nothing any more."""
    async for event in live_events(experiment.id, call.service, last_event_id, identify_again):
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
