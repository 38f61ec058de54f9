"""Experiments: listed, read, changed, their files fetched, their adapters asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tunesmith.client.connection import Connected, path_of
from tunesmith.schemas.compare import ExperimentComparison
from tunesmith.schemas.experiments import (
    Deleted,
    ExperimentPage,
    ExperimentStats,
    ExperimentSummary,
    ExperimentTags,
    ExperimentWhole,
    FileList,
    LogPart,
    MetricHistories,
    Submitted,
    TaskState,
)
from tunesmith.schemas.predict import Predictions


class Experiments(Connected):
    """What was submitted, and what came of it."""

    def experiments(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        text: str | None = None,
        tag: str | Sequence[str] = (),
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
        """The experiments that pass all filters and have each `tag`. Raises ConfigError."""
        given = {key: value for key, value in locals().items() if key != "self"}
        given["tag"] = [tag] if isinstance(tag, str) else list(tag)
        for key in ("start_date", "end_date"):
            given[key] = given[key].isoformat() if given[key] else None
        return self._ask(ExperimentPage, "GET", "/experiments", params=given)

    def stats(self) -> ExperimentStats:
        """All experiments in a few numbers."""
        return self._ask(ExperimentStats, "GET", "/experiments/stats")

    def tags(self) -> ExperimentTags:
        """The tags of experiments, with how many have each; the commonest first."""
        return self._ask(ExperimentTags, "GET", "/experiments/tags")

    def experiment(self, experiment_id: str) -> ExperimentWhole:
        """One experiment, whole. Raises NotFoundError."""
        return self._poll(ExperimentWhole, path_of("experiments", experiment_id))

    def compare_experiments(self, ids: Sequence[str]) -> ExperimentComparison:
        """Each of 2 to 20 experiments against the first. Raises NotFoundError, ConfigError."""
        params = {"id": list(ids)}
        return self._ask(ExperimentComparison, "GET", "/experiments/compare", params=params)

    def edit(
        self,
        experiment_id: str,
        *,
        name: str | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> ExperimentSummary:
        """Change name, note, or all tags; None stays. Raises NotFoundError, ConfigError."""
        given = {"name": name, "note": note, "tags": None if tags is None else list(tags)}
        asked = {key: value for key, value in given.items() if value is not None}
        path = path_of("experiments", experiment_id)
        return self._ask(ExperimentSummary, "PATCH", path, json=asked)

    def cancel(self, experiment_id: str) -> TaskState:
        """Cancel it, with a checkpoint where it runs. Raises NotFoundError, StateError."""
        return self._ask(TaskState, "POST", path_of("experiments", experiment_id, "cancel"))

    def resume(self, experiment_id: str) -> Submitted:
        """Go on from its newest checkpoint. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", path_of("experiments", experiment_id, "resume"))

    def retry(self, experiment_id: str) -> Submitted:
        """Begin it again from the start. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", path_of("experiments", experiment_id, "retry"))

    def rerun(self, experiment_id: str) -> Submitted:
        """A new experiment with its configuration. Raises NotFoundError."""
        return self._ask(Submitted, "POST", path_of("experiments", experiment_id, "rerun"))

    def move_to_front(self, experiment_id: str) -> Submitted:
        """Let it be the next of its queue. Raises NotFoundError, StateError."""
        return self._ask(Submitted, "POST", path_of("experiments", experiment_id, "front"))

    def set_priority(self, experiment_id: str, priority: int) -> Submitted:
        """The highest is taken first, -100 to 100. Raises NotFoundError, StateError."""
        path = path_of("experiments", experiment_id, "priority")
        return self._ask(Submitted, "PUT", path, json={"priority": priority})

    def delete(self, experiment_id: str, *, confirm: str) -> Deleted:
        """Delete an ended one; `confirm` is its name. Raises NotFoundError, StateError."""
        path = path_of("experiments", experiment_id)
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
        path = path_of("experiments", experiment_id, "metrics")
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
        return self._ask(
            LogPart, "GET", path_of("experiments", experiment_id, "logs"), params=params
        )

    def files(self, experiment_id: str) -> FileList:
        """The files of an experiment. Raises NotFoundError."""
        return self._ask(FileList, "GET", path_of("experiments", experiment_id, "files"))

    def download(self, experiment_id: str, path: str, target: Path) -> Path:
        """Save a file of an experiment as `target`. Raises NotFoundError, OSError."""
        return self._connection.save(
            path_of("experiments", experiment_id, "files", *path.split("/")), target
        )

    def read(self, experiment_id: str, path: str) -> bytes:
        """What a small file of an experiment holds. Raises NotFoundError."""
        where = path_of("experiments", experiment_id, "files", *path.split("/"))
        return self._connection.request("GET", where).content

    def download_adapter(self, experiment_id: str, target: Path) -> Path:
        """Save the adapter as the ZIP archive `target`. Raises NotFoundError, OSError."""
        return self._connection.save(path_of("experiments", experiment_id, "adapter"), target)

    def predict(
        self,
        experiment_id: str,
        inputs: Sequence[str | Mapping[str, Any]],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
        unsure: bool = False,
    ) -> Predictions:
        """Ask its adapter: texts, rows by column, or `{"messages": [...]}`; 64 at most.

        A registered adapter may be named instead, such as `reviews@production`. With `base` the
        base model answers too, with `unsure` also what is not sure enough. Raises NotFoundError,
        StateError, ConfigError, DataError, ModelError.
        """
        asked = {"inputs": list(inputs), "base": base, "max_new_tokens": max_new_tokens,
                 "unsure": unsure}  # fmt: skip
        path = path_of("experiments", experiment_id, "predict")
        # The first request loads the model.
        return self._ask(Predictions, "POST", path, json=asked, long=True)
