"""Datasets and configurations, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunesmith.schemas.base import ResponseModel, Said, WithMessages
from tunesmith.schemas.problem import FieldProblem


class DatasetVersionState(WithMessages, ResponseModel):
    """One immutable state of a dataset."""

    name: str
    number: int = Field(description="1 for the first version.")
    reference: str = Field(description="What names it in a configuration, such as reviews@3.")
    hash: str = Field(description="Content hash of its rows and their order.")
    rows: int
    columns: list[str]
    splits: dict[str, int] = Field(description="Split → rows.")
    split_by: dict[str, Any] = Field(description="How rows were held out.")
    source: str = Field(description="Where it was read from.")
    parent: int | None = Field(description="The newest version when this one was made.")
    label_counts: dict[str, int]
    rules: dict[str, Any] = Field(description="The rules that its rows were held against.")
    report: dict[str, Any] = Field(description="What they found, in numbers.")
    description: str
    created_at: datetime
    created_by: str
    tags: list[str]


class Imported(ResponseModel):
    """What became of an upload."""

    version: DatasetVersionState
    new: bool = Field(description="False where a version has this content already.")


class DatasetSummary(ResponseModel):
    """A dataset."""

    name: str
    current: DatasetVersionState = Field(description="The version that its bare name means.")
    versions: int = Field(description="How many versions there are.")


class Datasets(ResponseModel):
    """All datasets, by name."""

    items: list[DatasetSummary]


class DatasetVersions(ResponseModel):
    """A dataset with its versions, the newest first."""

    name: str
    current: str = Field(description="Reference of the version that its bare name means.")
    items: list[DatasetVersionState]


class PreviewRow(ResponseModel):
    """A row as it is."""

    split: str
    row: int = Field(description="Its number in the source, from 1.")
    values: dict[str, Any] = Field(description="Column → value.")


class Preview(ResponseModel):
    """The first rows of each split."""

    reference: str
    columns: list[str]
    rows: list[PreviewRow]


class CheckResult(WithMessages, ResponseModel):
    """The check report of a version: totals, and the first findings."""

    reference: str
    report: dict[str, Any] = Field(description="As `tunesmith data check` writes it.")
    findings: int = Field(description="How many findings there are in all.")


class Comparison(ResponseModel):
    """What changed from one version to another."""

    old: str = Field(description="Reference of the old version.")
    new: str = Field(description="Reference of the new version.")
    changes: dict[str, Any] = Field(
        description="Counts of rows added, removed, relabelled, edited and moved, with examples."
    )


class Validation(WithMessages, ResponseModel):
    """Whether a configuration could be trained."""

    valid: bool
    problems: list[FieldProblem] = Field(description="Every problem; none where it is valid.")
    unchecked: list[Said] = Field(description="What can be looked at only when training begins.")


class ColumnState(ResponseModel):
    """A column of a table."""

    name: str
    type: str = Field(description="As Arrow calls it, such as string or int64.")
    examples: list[Any] = Field(description="Its first different values.")


class DataInspection(WithMessages, ResponseModel):
    """What a table is, before anything is kept or trained."""

    rows: dict[str, int] = Field(description="Split → rows.")
    unreadable: int = Field(description="Lines that are no row.")
    reading: list[Said] = Field(
        description="How it was read: format, encoding, delimiter, sheet, and what was odd."
    )
    columns: list[ColumnState]
    task: str = Field(description="The task that fits best.")
    roles: dict[str, dict[str, str]] = Field(
        description="Task → role → column, where they can be guessed."
    )
    layouts: dict[str, list[Said]] = Field(
        description="Task → the layout that was recognized, and what of the data is not used."
    )
    first: list[dict[str, Any]] = Field(description="The first rows; long values are cut.")


class ConfigurationCheck(WithMessages, ResponseModel):
    """What a configuration's rules find in its data."""

    report: dict[str, Any] = Field(description="As `tunesmith data check` writes it.")
    findings: int = Field(description="How many findings there are in all.")
    columns: dict[str, str] = Field(description="Role → column.")
    rejected: int = Field(description="Rows that are not used.")


class YamlText(BaseModel):
    """A configuration as a file holds it."""

    model_config = ConfigDict(extra="forbid")

    yaml: str = Field(max_length=100_000, description="The text.")


class ParsedConfiguration(ResponseModel):
    """What a text says, and what is wrong with it."""

    config: dict[str, Any] = Field(description="What it sets, right or wrong.")
    problems: list[FieldProblem] = Field(description="Every problem of its fields.")


class BaseModelState(ResponseModel):
    """A base model that is at hand."""

    name: str = Field(description="What to write as model.name.")
    source: str = Field(description="package: installed; cache: fetched from the hub before.")
    size: int = Field(description="Bytes of its weights.")
    licence: str = Field(description="As its package or card says; empty where neither does.")
    architecture: str
    parameters: int | None
    max_length: int | None = Field(description="Longest input in tokens.")
    generates: bool = Field(description="Whether it writes text.")


class HubModelState(ResponseModel):
    """A base model of the hub."""

    name: str = Field(description="What to write as model.name.")
    generates: bool = Field(description="Whether it writes text.")
    parameters: int | None = Field(description="As the hub counts them; null where it doesn't.")
    licence: str = Field(description="As its card says; empty where it doesn't.")
    gated: bool = Field(
        description="Whether its terms have to be accepted on the hub, and HF_TOKEN be set."
    )


class HubModels(ResponseModel):
    """What a search of the hub brought."""

    state: Literal["answered", "offline", "unreachable"] = Field(
        description="offline: HF_HUB_OFFLINE is set; unreachable: the hub gave no answer in time."
    )
    items: list[HubModelState] = Field(description="The most downloaded first.")


class BaseModels(ResponseModel):
    """The base models that are at hand on the API's machine, and those that a search found."""

    items: list[BaseModelState]
    hub: HubModels | None = Field(description="Models of the hub; null where none were searched.")


class PresetState(ResponseModel):
    """A ready-made configuration."""

    name: str
    description: str = Field(description="What it is, in a sentence or two.")
    config: dict[str, Any] = Field(description="What it sets; the rest are defaults.")
    yaml: str = Field(description="The same as a file, with its comments.")


class Presets(ResponseModel):
    """The ready-made configurations, the starter first."""

    items: list[PresetState]


class Resolved(ResponseModel):
    """A configuration with all its defaults."""

    config: dict[str, Any] = Field(description="The complete configuration.")
    yaml: str = Field(description="The same as a file for tunesmith train --config.")


class Estimate(ResponseModel):
    """What a training will take."""

    memory_bytes: int | None = Field(
        description="Most memory, computed for texts of data.max_length; null: not known here."
    )
    memory_free_bytes: int = Field(description="Memory that is free on the API's machine.")
    seconds_least: float | None = Field(description="Training time; null: not known.")
    seconds_most: float | None = Field(description="The same, at most.")
    experiments: list[str] = Field(
        description="Ids of the earlier experiments that the time was measured in; empty where it "
        "is computed, which is rough."
    )
    hosts: list[str] = Field(description="The machines that these were on.")
