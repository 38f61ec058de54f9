"""A live stream of one experiment: status, metrics and log lines, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
The id of each event says how far a client has read, `step.offset`: the last optimizer step whose
metrics it got, and the bytes of the log. Sent back as Last-Event-ID it goes on from there; points
of that very step may come twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from tunesmith.api.service import Service
from tunesmith.api.task_state import task_state
from tunesmith.errors import AccessError, NotFoundError, ServiceError, StorageError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.experiments import LogPart, MetricPoint, TaskState
from tunesmith.store.entities.experiments import Experiment, Metric

log = logging.getLogger("tunesmith.api")

INTERVAL = 1.0
"""Seconds between two looks."""

IDENTIFIED_EVERY = 10.0
"""Seconds after which it is asked again whether the client may still see this."""

LOG_PIECE = 1 << 16
"""Bytes of log in one event, at most."""

POINTS = 1000
"""Points of one metric that are sent at first, at most; longer histories are thinned out."""

BEFORE_ALL = -1
"""A step before the first."""

_ID = re.compile(r"(-?\d{1,18})\.(\d{1,18})")


@dataclass
class _Position:
    """How far a client has read."""

    step: int = BEFORE_ALL
    offset: int = 0
    sent: set[tuple[str, int, str]] = field(default_factory=set)
    """Points of that step that were sent; the value as text, because NaN equals nothing."""
    state: str = ""

    @property
    def id(self) -> str:
        return f"{self.step}.{self.offset}"


@dataclass(frozen=True)
class _Look:
    """What was new at one look."""

    experiment: Experiment
    state: TaskState
    points: dict[str, list[Metric]]
    log: LogPart


async def live_events(
    experiment_id: str, service: Service, last_event_id: str | None, identify: Callable[[], object]
) -> AsyncIterator[ServerSentEvent]:
    """`status`, `metrics` and `log` as they change, then `end`; or `end` at once when it is gone.

    Ends when the experiment has ended and all was sent. Breaks off, without `end`, when `identify`
    refuses the client, or the store doesn't answer: who asks again gets the reason.
    """
    at = _Position()
    if last_event_id and (found := _ID.fullmatch(last_event_id)):
        at.step, at.offset = int(found[1]), int(found[2])
    identified = time.monotonic()
    while True:
        try:
            if time.monotonic() - identified >= IDENTIFIED_EVERY:
                await run_in_threadpool(identify)
                identified = time.monotonic()
            look = await run_in_threadpool(_look, experiment_id, service, at)
        except NotFoundError:
            yield ServerSentEvent(event="end", data={"status": None})
            return
        except (AccessError, StorageError, ServiceError) as error:
            log.warning("a live stream of experiment %s breaks off: %s", experiment_id, error)
            return
        for event in _events(look, at):
            yield event
        more = look.log.next_offset < look.log.size
        if look.experiment.status.is_finished and not (more and look.log.text):
            yield ServerSentEvent(event="end", data={"status": look.state.status}, id=at.id)
            return
        await asyncio.sleep(0.0 if more and look.log.text else INTERVAL)


def read_log(folder: ExperimentFolder, offset: int, limit: int, *, finished: bool) -> LogPart:
    """Whole lines of the log from `offset` on; a line without its end waits, unless `finished`."""
    piece, size = folder.read_log(offset, limit)
    begin = min(offset, size)
    whole = piece.rfind(b"\n") + 1
    at_end = begin + len(piece) >= size
    if whole and not (at_end and finished):
        piece = piece[:whole]
    elif not whole and at_end and not finished:
        piece = b""
    text = piece.decode("utf-8", "replace")
    return LogPart(text=text, offset=begin, next_offset=begin + len(piece), size=size)


def _look(experiment_id: str, service: Service, at: _Position) -> _Look:
    store = service.store
    experiment = store.get(experiment_id)
    position = store.queue.positions([experiment_id]).get(experiment_id)
    points: dict[str, list[Metric]] = {}
    for name in store.metric_names(experiment_id):
        # From the last step on, itself included: more of it may have come.
        points[name] = store.metrics_sampled(experiment_id, name, at.step - 1, POINTS)
    folder, finished = service.folder_of(experiment), experiment.status.is_finished
    part = read_log(folder, at.offset, LOG_PIECE, finished=finished)
    return _Look(experiment, task_state(experiment, position), points, part)


def _events(look: _Look, at: _Position) -> list[ServerSentEvent]:
    """What is new, as events; `at` moves on."""
    events = []
    state = look.state.model_dump_json()
    if state != at.state:
        at.state = state
        events.append(ServerSentEvent(event="status", raw_data=state, id=at.id))
    new = {
        name: [p for p in points if (name, p.step, repr(p.value)) not in at.sent]
        for name, points in look.points.items()
    }
    if any(new.values()):
        at.step = max(p.step for points in new.values() for p in points)
        at.sent = {
            (name, p.step, repr(p.value))
            for name, points in look.points.items()
            for p in points
            if p.step >= at.step
        }
        shown = {
            name: [MetricPoint.model_validate(p).model_dump(mode="json") for p in points]
            for name, points in new.items()
            if points
        }
        events.append(ServerSentEvent(event="metrics", data=shown, id=at.id))
    if look.log.text:
        at.offset = look.log.next_offset
        events.append(ServerSentEvent(event="log", data={"text": look.log.text}, id=at.id))
    return events
