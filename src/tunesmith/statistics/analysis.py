"""Many experiments in groups: how good, how fast, how large, how long; a question over records.

Scores are put together only where they mean the same: one metric, judged by the same evaluation
rows. A group with several of these has one line for each.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import UserError, did_you_mean
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.statistics.differences import flat
from tunesmith.store.entities.experiments import Experiment

SHORT = {
    "model": "model.name",
    "dataset": "data.dataset_name",
    "task": "task.name",
    "rank": "lora.r",
    "learning_rate": "training.learning_rate",
    "batch_size": "training.per_device_train_batch_size",
    "epochs": "training.num_train_epochs",
    "seed": "training.seed",
}
"""Short names of fields that people group by."""

OF_RECORD = ("status", "owner", "host", "device", "tag")
"""What experiments can be grouped by beside the fields of their configurations."""


@dataclass(frozen=True, slots=True)
class Best:
    """The experiment with the highest score of a line."""

    id: str
    name: str
    score: float
    low: float | None
    high: float | None
    """Ends of its 95 % interval, where it has one."""


@dataclass(frozen=True, slots=True)
class Line:
    """The experiments of one group that are judged alike, in figures; None where there are none."""

    group: tuple[str, ...]
    """Values of what is grouped by, in its order."""
    metric: str | None
    """Main metric of those that succeeded; None for those that have no score."""
    rows: str | None
    """Hash of their evaluation rows: scores of different rows can't be compared."""
    experiments: int
    succeeded: int
    failed: int
    best: Best | None
    mean: float | None
    standard_deviation: float | None
    """Of their scores, from this sample (n - 1); None below two."""
    median_runtime: float | None
    """Seconds of training."""
    total_runtime: float
    """Seconds of training, all together."""
    median_speed: float | None
    """Samples per second."""
    peak_memory: float | None
    """Bytes; the most of any."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The lines, the best score first within each metric and set of evaluation rows."""

    group_by: tuple[str, ...]
    experiments: int
    lines: tuple[Line, ...]


def analyze(experiments: Sequence[Experiment], group_by: Sequence[str] = ()) -> Analysis:
    """Put `experiments`, read with their details, into groups.

    `group_by` names fields of the configuration by their dotted paths or by their names in SHORT,
    or what stands in OF_RECORD; none makes one group. An experiment with several tags counts in
    each of their groups.

    Raises UserError, naming the nearest, for a field that no experiment has.
    """
    configs = {each.id: flat(each.config) for each in experiments}
    fields = [_field(name, configs.values()) for name in group_by]
    groups: dict[tuple[Any, ...], list[Experiment]] = defaultdict(list)
    for each in experiments:
        for place in _places(each, configs[each.id], fields):
            groups[(place, *_judged_by(each))].append(each)
    lines = [_line(place, metric, rows, found) for (place, metric, rows), found in groups.items()]
    lines.sort(
        key=lambda line: (
            line.metric is None,
            line.metric or "",
            line.rows or "",
            -line.best.score if line.best else 0.0,
            line.group,
        )
    )
    return Analysis(tuple(group_by), len(experiments), tuple(lines))


def _field(name: str, configs: Any) -> str:
    """The dotted path that `name` means."""
    if name in OF_RECORD:
        return name
    path = SHORT.get(name, name)
    known = {field for config in configs for field in config}
    if known and path not in known:
        raise UserError(
            "--group-by: {name} is no field of these experiments; accepted: {names}, "
            "or a field such as training.weight_decay{hint}",
            name=repr(name),
            names=[*SHORT, *OF_RECORD],
            hint=did_you_mean(name, [*SHORT, *OF_RECORD, *sorted(known)]),
        )
    return path


def _places(
    one: Experiment, config: Mapping[str, Any], fields: Sequence[str]
) -> list[tuple[str, ...]]:
    """The groups of an experiment: one, or one for each of its tags."""
    places: list[tuple[str, ...]] = [()]
    for field in fields:
        values: Sequence[Any] = [config.get(field)]
        if field == "tag":
            values = one.tags or [None]
        elif field == "device":
            values = [one.plan.get("device")]
        elif field in OF_RECORD:
            values = [getattr(one, field)]
        places = [(*place, _text(value)) for place in places for value in values]
    return places


def _text(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _judged_by(one: Experiment) -> tuple[str | None, str | None]:
    """Metric and evaluation rows of its score; neither where it has none."""
    if one.score is None:
        return None, None
    splits = one.data.get("splits") or {}
    return one.score_name, (splits.get("evaluation") or {}).get("hash")


def _line(
    group: tuple[str, ...], metric: str | None, rows: str | None, found: Sequence[Experiment]
) -> Line:
    scored = [each for each in found if each.score is not None]
    scores = [each.score for each in scored if each.score is not None]
    runtimes = [each.train_runtime for each in found if each.train_runtime is not None]
    speeds = _numbers(found, "train_samples_per_second")
    return Line(
        group=group,
        metric=metric,
        rows=rows,
        experiments=len(found),
        succeeded=sum(each.status is ExperimentStatus.SUCCEEDED for each in found),
        failed=sum(each.status is ExperimentStatus.FAILED for each in found),
        best=_best(scored),
        mean=statistics.fmean(scores) if scores else None,
        standard_deviation=statistics.stdev(scores) if len(scores) > 1 else None,
        median_runtime=statistics.median(runtimes) if runtimes else None,
        total_runtime=sum(runtimes),
        median_speed=statistics.median(speeds) if speeds else None,
        peak_memory=max(_numbers(found, "peak_memory_bytes"), default=None),
    )


def _best(scored: Sequence[Experiment]) -> Best | None:
    if not scored:
        return None
    first = max(scored, key=lambda each: (each.score or 0.0, each.created_at))
    low, high = (first.interval.get(end) for end in ("low", "high"))
    return Best(first.id, first.name, first.score or 0.0, low, high)


def _numbers(found: Sequence[Experiment], name: str) -> list[float]:
    values = (each.metrics.get(name) for each in found)
    return [float(value) for value in values if isinstance(value, int | float)]
