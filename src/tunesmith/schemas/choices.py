"""What can be chosen, as the API describes it to pages and programs: tasks, rules, exporters."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tunesmith.schemas.base import ResponseModel


class MetricDescription(ResponseModel):
    """A number that says how good predictions are."""

    name: str = Field(description="As in metrics.json, without eval_.")
    label: str = Field(description="For people, in English.")
    unit: str = Field(description="Empty: a share, or the unit of the data.")
    lower_is_better: bool
    is_share: bool = Field(description="Whether it is from 0 to 1.")
    is_quick: bool = Field(description="Whether evaluation during training gives it too.")


class TaskDescription(ResponseModel):
    """What can be learned."""

    name: str = Field(description="As in a configuration, such as text-classification.")
    label: str = Field(description="For people, in two or three words of English.")
    summary: str = Field(description="One line for people who choose.")
    is_default: bool = Field(description="Whether a configuration that names no task means it.")
    pipeline_tag: str | None = Field(description="The hub's name of what its adapters do.")
    metrics: list[MetricDescription]
    main_metric: str = Field(description="The metric that experiments are judged by.")
    columns: dict[str, list[str]] = Field(description="Role → usual names of its column.")
    examples: list[dict[str, Any]] = Field(description="A few rows that it can learn from.")


class Tasks(ResponseModel):
    """All tasks, by name."""

    items: list[TaskDescription]


class ExportOption(ResponseModel):
    """Something that may, or must, be said of an export to one target."""

    name: str = Field(description="As on the command line, without its dashes.")
    help: str
    metavar: str | None = Field(description="What stands for its text; null: it is a switch.")
    required: bool


class ExporterDescription(ResponseModel):
    """A form that an adapter can be taken along in."""

    name: str = Field(description="As in `tunesmith export --to NAME`.")
    summary: str = Field(description="One line for people who choose.")
    formats: list[str] = Field(description="The number formats that --dtype may name.")
    usual_format: str = Field(description="The number format where none is named, in words.")
    options: list[ExportOption]


class Exporters(ResponseModel):
    """All forms that adapters can be exported in, by name."""

    items: list[ExporterDescription]


class RuleDescription(ResponseModel):
    """What a row must be like, as a field of `data.validation_rules`."""

    name: str = Field(description="Its field, and its name in reports.")
    label: str = Field(description="What breaks it, in two or three words of English.")
    summary: str = Field(description="What breaks it, in one line.")
    actions: list[str] = Field(description="What may be done with a row that breaks it.")
    default: str = Field(description="What is done where nothing is said.")
    bounds: list[str] = Field(description="Fields beside it that say what breaks it.")


class RuleDescriptions(ResponseModel):
    """All rules, by name."""

    items: list[RuleDescription]
