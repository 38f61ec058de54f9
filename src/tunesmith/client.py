"""A client of the REST API: `tunesmith.Client`, typed, for programs, notebooks and the web page.

    with Client("http://127.0.0.1:8000") as client:
        submitted = client.train({"model": {…}, "data": {…}})
        state = client.wait(submitted.task_id)
        print(state.result)

Answers are the API's own models. What the API refuses is raised as the error that it is:
NotFoundError, StateError, ConfigError with every problem, AccessError, DataError, and ServiceError
when the API can't be reached. Of AccessError, UnauthenticatedError asks for another token, and
TooManyAttemptsError for patience.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

from tunesmith.api.connection import Connection
from tunesmith.api.schemas.compare import ExperimentComparison
from tunesmith.api.schemas.data import (
    BaseModels,
    CheckResult,
    Comparison,
    ConfigurationCheck,
    DataInspection,
    Datasets,
    DatasetVersions,
    DatasetVersionState,
    Imported,
    ParsedConfiguration,
    Presets,
    Preview,
    Resolved,
    Validation,
)
from tunesmith.api.schemas.experiments import (
    Deleted,
    ExperimentPage,
    ExperimentStats,
    ExperimentWhole,
    FileList,
    LogPart,
    MetricHistories,
    Submitted,
    TaskState,
    TaskStatus,
)
from tunesmith.api.schemas.predict import Predictions
from tunesmith.api.schemas.service import (
    AuditPage,
    CreatedToken,
    Queue,
    QueueReport,
    Readiness,
    Tokens,
    TokenState,
    Whoami,
    Workers,
)
from tunesmith.errors import ServiceError, StorageError, TunesmithError

DEFAULT_URL = "http://127.0.0.1:8000"

RECONNECTS = 5
"""Times in a row that a live stream which broke off is taken up again."""

LASTING = 10.0
"""Seconds after which a stream that breaks off, even without an event, was a good one."""


@dataclass(frozen=True)
class Event:
    """One event of an experiment's live stream."""

    kind: str
    """`status`, `metrics`, `log` or `end`."""
    data: Any
    """status: as `task` gives it; metrics: name → new points; log: `{"text": …}`."""


class Client:
    """A connection to the API at `url`, to be closed or used with `with`.

    `token` is an access token, where the API asks for one; `timeout` is in seconds, and longer for
    what reads whole datasets. Raises ConfigError for a URL or a token that can't be one. Every
    method raises ServiceError when the API can't be reached or has an error of its own, AccessError
    when the token doesn't allow what is asked, and StorageError when the API's store doesn't
    answer; further errors are named. Threads may share a client.
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, timeout: float = 30.0
    ) -> None:
        self.url = url.rstrip("/")
        self._connection = Connection(self.url, token, timeout)
        self._ask, self._poll = self._connection.ask, self._connection.poll

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # -- submitting and following -----------------------------------------------------------

    def train(self, config: Mapping[str, Any], *, runs_after: str | None = None) -> Submitted:
        """Submit an experiment. Raises ConfigError with every problem."""
        return self._ask(
            Submitted, "POST", "/train", json=dict(config), params={"runs_after": runs_after}
        )

    def task(self, task_id: str) -> TaskState:
        """Where an experiment stands; cheap to ask again and again. Raises NotFoundError."""
        return self._poll(TaskState, _path("task", task_id))

    def wait(
        self, task_id: str, *, interval: float = 2.0, timeout: float | None = None
    ) -> TaskState:
        """Wait until an experiment has ended, however it ended; times in seconds.

        Raises NotFoundError, and TimeoutError when it takes longer than `timeout`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self.task(task_id)
            if state.status not in (TaskStatus.PENDING, TaskStatus.STARTED):
                return state
            if deadline is not None and time.monotonic() + interval > deadline:
                raise TimeoutError(f"experiment {task_id} is {state.status} after {timeout} s.")
            time.sleep(interval)

    def events(self, experiment_id: str) -> Iterator[Event]:
        """Status, metrics and log lines as they come, until the experiment has ended.

        A stream that breaks off is taken up where it was. Raises NotFoundError.
        """
        path, last_id, failures = _path("experiments", experiment_id, "events"), "", 0
        while True:
            failure: TunesmithError = ServiceError(f"{self.url} sends no events.")
            begun = time.monotonic()
            try:
                for event, data in self._connection.events(path, last_id):
                    failures = 0
                    last_id = event.id or last_id
                    yield Event(event.event, data)
                    if event.event == "end":
                        return
            except (ServiceError, StorageError) as error:
                failure = error
            failures = 1 if time.monotonic() - begun > LASTING else failures + 1
            if failures > RECONNECTS:
                raise failure
            time.sleep(failures)

    # -- experiments ------------------------------------------------------------------------

    def experiments(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        text: str | None = None,
        owner: str | None = None,
        min_accuracy: float | None = None,
        max_runtime: float | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        sort_by: str = "created_at",
        desc: bool | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> ExperimentPage:
        """The experiments that pass all filters, the newest first. Raises ConfigError."""
        given = {key: value for key, value in locals().items() if key != "self"}
        for key in ("start_date", "end_date"):
            given[key] = given[key].isoformat() if given[key] else None
        return self._ask(ExperimentPage, "GET", "/experiments", params=given)

    def stats(self) -> ExperimentStats:
        """All experiments in a few numbers."""
        return self._ask(ExperimentStats, "GET", "/experiments/stats")

    def experiment(self, experiment_id: str) -> ExperimentWhole:
        """One experiment, whole. Raises NotFoundError."""
        return self._poll(ExperimentWhole, _path("experiments", experiment_id))

    def compare_experiments(self, ids: Sequence[str]) -> ExperimentComparison:
        """Each of 2 to 20 experiments against the first. Raises NotFoundError, ConfigError."""
        params = {"id": list(ids)}
        return self._ask(ExperimentComparison, "GET", "/experiments/compare", params=params)

    def cancel(self, experiment_id: str) -> TaskState:
        """Cancel it, with a checkpoint where it runs. Raises NotFoundError, StateError."""
        return self._ask(TaskState, "POST", _path("experiments", experiment_id, "cancel"))

    def resume(self, experiment_id: str) -> Submitted:
        """Go on from its newest checkpoint. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", _path("experiments", experiment_id, "resume"))

    def retry(self, experiment_id: str) -> Submitted:
        """Begin it again from the start. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", _path("experiments", experiment_id, "retry"))

    def rerun(self, experiment_id: str) -> Submitted:
        """A new experiment with its configuration. Raises NotFoundError."""
        return self._ask(Submitted, "POST", _path("experiments", experiment_id, "rerun"))

    def move_to_front(self, experiment_id: str) -> Submitted:
        """Let it be the next of its queue. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", _path("experiments", experiment_id, "front"))

    def set_priority(self, experiment_id: str, priority: int) -> Submitted:
        """The highest is taken first, -100 to 100. Raises NotFoundError, StateError."""
        path = _path("experiments", experiment_id, "priority")
        return self._ask(Submitted, "PUT", path, json={"priority": priority})

    def delete(self, experiment_id: str, *, confirm: str) -> Deleted:
        """Delete an ended one and its files; `confirm` is its name.

        Raises NotFoundError, StateError while it lives, ConfigError for another name.
        """
        path = _path("experiments", experiment_id)
        return self._ask(Deleted, "DELETE", path, params={"confirm": confirm})

    def metrics(
        self,
        experiment_id: str,
        name: str | None = None,
        *,
        since: int | None = None,
        points: int = 1000,
    ) -> MetricHistories:
        """Metrics over steps, each thinned out to at most `points`. Raises NotFoundError."""
        params = {"name": name, "since": since, "points": points}
        path = _path("experiments", experiment_id, "metrics")
        return self._ask(MetricHistories, "GET", path, params=params)

    def logs(
        self,
        experiment_id: str,
        *,
        tail: int | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> LogPart:
        """The last `tail` lines, or whole lines from byte `offset` on. Raises NotFoundError."""
        params = {"tail": tail, "offset": offset, "limit": limit}
        return self._ask(LogPart, "GET", _path("experiments", experiment_id, "logs"), params=params)

    def files(self, experiment_id: str) -> FileList:
        """The files of an experiment. Raises NotFoundError."""
        return self._ask(FileList, "GET", _path("experiments", experiment_id, "files"))

    def download(self, experiment_id: str, path: str, target: Path) -> Path:
        """Save a file of an experiment as `target`. Raises NotFoundError, OSError."""
        return self._connection.save(
            _path("experiments", experiment_id, "files", *path.split("/")), target
        )

    def download_adapter(self, experiment_id: str, target: Path) -> Path:
        """Save the adapter as the ZIP archive `target`. Raises NotFoundError, OSError."""
        return self._connection.save(_path("experiments", experiment_id, "adapter"), target)

    def predict(
        self,
        experiment_id: str,
        inputs: Sequence[str | Mapping[str, Any]],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
    ) -> Predictions:
        """Ask its adapter: texts, rows by column, or `{"messages": [...]}`; 64 at most.

        With `base` the base model answers too. Raises NotFoundError, StateError, ConfigError,
        DataError, ModelError.
        """
        asked = {"inputs": list(inputs), "base": base, "max_new_tokens": max_new_tokens}
        path = _path("experiments", experiment_id, "predict")
        # The first request loads the model.
        return self._ask(Predictions, "POST", path, json=asked, long=True)

    # -- data and configurations ------------------------------------------------------------

    def upload(
        self,
        file: Path | BinaryIO,
        name: str,
        *,
        description: str = "",
        settings: tuple[str, ...] = (),
    ) -> Imported:
        """Upload a table as a version of the dataset `name`.

        `file` is a path, or a file opened in binary mode, whose `name` is told if it has one.
        `settings` are such as `task.text_column=review`. Raises DataError, ConfigError, OSError.
        """
        fields = {"name": name, "description": description, "set": list(settings)}
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            told = Path(str(getattr(file, "name", ""))).name or "upload"
            files = {"file": (told, stream)}
            return self._ask(Imported, "POST", "/datasets", data=fields, files=files, long=True)

    def inspect(self, file: BinaryIO, name: str) -> DataInspection:
        """Look at a table before it is uploaded. Raises DataError, ConfigError."""
        return self._ask(
            DataInspection, "POST", "/datasets/inspect", files={"file": (name, file)}, long=True
        )

    def datasets(self) -> Datasets:
        """All datasets, by name."""
        return self._ask(Datasets, "GET", "/datasets")

    def dataset(self, name: str) -> DatasetVersions:
        """The versions of a dataset, the newest first. Raises NotFoundError."""
        return self._ask(DatasetVersions, "GET", _path("datasets", name))

    def dataset_version(self, name: str, number: int) -> DatasetVersionState:
        """One version. Raises NotFoundError."""
        return self._ask(DatasetVersionState, "GET", _path("datasets", name, number))

    def check_report(self, name: str, number: int, *, findings: int = 100) -> CheckResult:
        """What is wrong with a version's rows. Raises NotFoundError, DataError."""
        path = _path("datasets", name, number, "report")
        return self._ask(CheckResult, "GET", path, params={"findings": findings}, long=True)

    def preview(self, name: str, number: int, *, rows: int = 10) -> Preview:
        """The first rows of each split. Raises NotFoundError."""
        path = _path("datasets", name, number, "preview")
        return self._ask(Preview, "GET", path, params={"rows": rows})

    def compare(self, name: str, old: int | str, new: int | str) -> Comparison:
        """What changed from one version to another. Raises NotFoundError."""
        path = _path("datasets", name, "diff")
        params = {"old": str(old), "new": str(new)}
        return self._ask(Comparison, "GET", path, params=params, long=True)

    def configuration_schema(self) -> dict[str, Any]:
        """The JSON schema of a configuration."""
        return self._ask(dict[str, Any], "GET", "/configuration/schema")

    def models(self, search: str | None = None) -> BaseModels:
        """The base models that are at hand on the API's machine; with `search`, also those of the
        hub whose names contain it. Raises AccessError for a search by a viewer."""
        params = {} if search is None else {"search": search}
        return self._ask(BaseModels, "GET", "/configuration/models", params=params)

    def check_configuration(
        self, config: Mapping[str, Any], *, findings: int = 100
    ) -> ConfigurationCheck:
        """What the rules of a configuration find in its data. Raises ConfigError, DataError."""
        return self._ask(
            ConfigurationCheck,
            "POST",
            "/configuration/check",
            json=dict(config),
            params={"findings": findings},
            long=True,
        )

    def rejected_rows(self, config: Mapping[str, Any]) -> bytes:
        """The rows that a training would not use, with rule and reason, as CSV."""
        return self._connection.request(
            "POST", "/configuration/rejected", json=dict(config), long=True
        ).content

    def parse(self, text: str) -> ParsedConfiguration:
        """What a configuration in YAML says, and every problem of its fields."""
        return self._ask(ParsedConfiguration, "POST", "/configuration/parse", json={"yaml": text})

    def presets(self) -> Presets:
        """The ready-made configurations, the starter first."""
        return self._ask(Presets, "GET", "/configuration/presets")

    def validate(self, config: Mapping[str, Any]) -> Validation:
        """Check a configuration with its data; problems are in the answer."""
        return self._ask(
            Validation, "POST", "/configuration/validate", json=dict(config), long=True
        )

    def resolve(self, config: Mapping[str, Any]) -> Resolved:
        """The configuration with all its defaults. Raises ConfigError with every problem."""
        return self._ask(Resolved, "POST", "/configuration/resolve", json=dict(config))

    # -- the service ------------------------------------------------------------------------

    def queue(self, limit: int = 50, offset: int = 0) -> QueueReport:
        """The queues, and `limit` of what waits in them, after `offset` others."""
        return self._poll(QueueReport, f"/queue?limit={limit:d}&offset={offset:d}")

    def pause(self, queue: str) -> Queue:
        """Let nothing more be taken from a queue; for admins. Raises NotFoundError."""
        return self._ask(Queue, "POST", _path("queue", queue, "pause"))

    def continue_(self, queue: str) -> Queue:
        """Let a queue go on; for admins. Raises NotFoundError."""
        return self._ask(Queue, "POST", _path("queue", queue, "continue"))

    def workers(self) -> Workers:
        """The workers, and what they train."""
        return self._ask(Workers, "GET", "/workers")

    def ready(self) -> Readiness:
        """Whether the service can do its work; the answer also says it where it can't."""
        return self._ask(Readiness, "GET", "/health/ready", also=(503,))

    def whoami(self) -> Whoami:
        """Whom the API takes you for."""
        return self._ask(Whoami, "GET", "/whoami")

    def tokens(self) -> Tokens:
        """The tokens, without their secrets; for admins."""
        return self._ask(Tokens, "GET", "/tokens")

    def create_token(self, name: str, role: str = "member") -> CreatedToken:
        """A new token, shown this once; for admins. Raises ConfigError, StateError."""
        return self._ask(CreatedToken, "POST", "/tokens", json={"name": name, "role": role})

    def revoke_token(self, name: str) -> TokenState:
        """Let a token open nothing any more; for admins. Raises NotFoundError."""
        return self._ask(TokenState, "DELETE", _path("tokens", name))

    def audit(self, **filters: Any) -> AuditPage:
        """Who did what, the newest first: actor, action, target, limit, offset; for admins."""
        return self._ask(AuditPage, "GET", "/audit", params=filters)


def _path(*parts: str | int) -> str:
    """A path of these parts, none of which can lead elsewhere."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)
