"""What there is to choose from: tasks, rules, exporters, those of other packages too."""

from __future__ import annotations

from fastapi import APIRouter

from tunesmith.api.deps import Viewer
from tunesmith.api.http.documentation import errors
from tunesmith.config.rules import RULES, ValidationRules
from tunesmith.schemas.choices import (
    ExporterDescription,
    Exporters,
    RuleDescription,
    RuleDescriptions,
    TaskDescription,
    Tasks,
)
from tunesmith.serving.exporters import EXPORTERS
from tunesmith.tasks import TASKS, default_task

router = APIRouter(prefix="/configuration", tags=["configuration"])


@router.get("/tasks", responses=errors(), summary="What can be learned")
def list_tasks(_: Viewer) -> Tasks:
    """Every task with its metrics, the usual names of its columns, and a few rows of data."""
    implied = default_task(None)
    return Tasks(
        items=[
            TaskDescription.of(
                task, name=name, is_default=name == implied, columns=task.column_names
            )
            for name, task in TASKS.items()
        ]
    )


@router.get("/rules", responses=errors(), summary="Rules for rows")
def list_rules(_: Viewer) -> RuleDescriptions:
    """Every field of `data.validation_rules` that says what happens to rows, and its bounds."""
    usual, items = ValidationRules().actions, []
    for name, rule in RULES.items():
        more = {"default": usual[name], "bounds": list(rule.bounds)}
        items.append(RuleDescription.of(rule, name=name, **more))
    return RuleDescriptions(items=items)


@router.get("/exporters", responses=errors(), summary="Forms to export adapters in")
def list_exporters(_: Viewer) -> Exporters:
    """Every target of `tunesmith export`, which is run where the adapter lies."""
    return Exporters(
        items=[ExporterDescription.of(each, name=name) for name, each in EXPORTERS.items()]
    )
