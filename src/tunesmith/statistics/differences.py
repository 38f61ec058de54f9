"""What is not the same in several experiments: fields of their records, and seeds alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.store.entities.experiments import Experiment

_PLAN = ("device", "precision", "weights", "attention")
_DATA = ("name", "dataset", "version", "hash", "rows", "columns", "splits", "overlap",
         "near_overlap")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not the same in all experiments."""

    field: str
    """Dotted path."""
    values: tuple[Any, ...]
    """In the experiments' order; None where it isn't there."""


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that is not the same in two experiments' data."""

    kind: str
    """added, removed, relabelled, edited or moved."""
    split: str
    """Where it is in the other's data; where it was, when it isn't there."""
    old: Mapping[str, str] | None
    """Column → value in the baseline's data, shortened; None where it isn't there."""
    new: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class RowDifferences:
    """How the rows of an experiment's data differ from those of the baseline's."""

    experiment_id: str
    old: str
    """The baseline's data version, such as reviews@1."""
    new: str
    counts: Mapping[str, int] | None = None
    """added, removed, relabelled, edited, moved → how many rows; None where `note` says why not."""
    examples: tuple[ChangedRow, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Experiments that are the same but for name and seed."""

    experiment_ids: tuple[str, ...]
    metric: str
    seeds: tuple[int | None, ...]
    number: int
    """How many different seeds; what was trained twice with one counts once."""
    mean: float
    standard_deviation: float
    """Of one score, from this sample (n - 1)."""


def config_differences(experiments: Sequence[Experiment]) -> tuple[Difference, ...]:
    """What differs between the configurations, the experiments' names left out."""
    return differences([_without_name(experiment.config) for experiment in experiments])


def environment_differences(experiments: Sequence[Experiment]) -> tuple[Difference, ...]:
    """What differs between packages, hardware, base models, and how the machines trained."""
    records = []
    for each in experiments:
        plan = {name: each.plan[name] for name in _PLAN if name in each.plan}
        records.append({**each.environment, **({"plan": plan} if plan else {})})
    return differences(records)


def data_differences(experiments: Sequence[Experiment]) -> tuple[Difference, ...]:
    """What differs between the data: version, hash, and the rows of each side."""
    records = [{k: v for k, v in e.data.items() if k in _DATA} for e in experiments]
    return differences(records)


def differences(records: Sequence[Mapping[str, Any]]) -> tuple[Difference, ...]:
    """The fields that are not the same in all records; an empty record is one not made yet."""
    flattened = [flat(record) for record in records]
    made = [fields for fields in flattened if fields]
    names = dict.fromkeys(name for fields in made for name in fields)
    return tuple(
        Difference(name, tuple(fields.get(name) for fields in flattened))
        for name in names
        if any(fields.get(name) != made[0].get(name) for fields in made)
    )


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path → value; lists are values."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _without_name(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "experiment_name"}


def seed_groups(experiments: Sequence[Experiment]) -> tuple[SeedGroup, ...]:
    """Groups of at least two seeds, in the order of their first experiments."""
    groups: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        if experiment.score is not None and experiment.config:
            groups.setdefault(_but_for_seed(experiment), []).append(experiment)
    found = []
    for group in groups.values():
        by_seed: dict[int | None, list[float]] = {}
        for experiment in group:
            seed = experiment.config.get("training", {}).get("seed")
            by_seed.setdefault(seed, []).append(experiment.score or 0.0)
        if len(by_seed) < 2:
            continue
        scores = [statistics.fmean(values) for values in by_seed.values()]
        found.append(
            SeedGroup(
                experiment_ids=tuple(experiment.id for experiment in group),
                metric=str(group[0].score_name),
                seeds=tuple(by_seed),
                number=len(by_seed),
                mean=statistics.fmean(scores),
                standard_deviation=statistics.stdev(scores),
            )
        )
    return tuple(found)


def _but_for_seed(experiment: Experiment) -> str:
    """What must be equal for two experiments to differ by their seeds alone.

    The section `job` says when and where, not what, is trained.
    """
    config = {k: v for k, v in _without_name(experiment.config).items() if k != "job"}
    config["training"] = {k: v for k, v in config.get("training", {}).items() if k != "seed"}
    same = [config, experiment.dataset_hash, experiment.score_name]
    return json.dumps(same, sort_keys=True, default=str)
