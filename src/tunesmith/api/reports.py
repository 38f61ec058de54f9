"""Check reports of dataset versions: made when asked for and kept, as versions never change."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

from tunesmith.experiments.datasets import check_data, inquire
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tracking.entities import DatasetVersion

KEPT = 20
"""Reports that are kept in memory."""

_lock = threading.Lock()
_kept: OrderedDict[tuple[str, str, int], dict[str, Any]] = OrderedDict()


def check_version(version: DatasetVersion, settings: Settings) -> dict[str, Any]:
    """The whole check report of a version, under the rules that it was imported with.

    One check at a time: it takes memory. Raises DataError when the rows can't be checked.
    """
    key = (settings.datasets_root, version.hash, version.number)
    with _lock:
        if key not in _kept:
            asked = inquire(
                version.reference, None, _as_imported(version), settings, with_model=False
            )
            _kept[key] = check_data(asked).checked.report.to_json()
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _as_imported(version: DatasetVersion) -> list[str]:
    """Assignments that give the rules and the task's columns of the import again."""
    rules = {f"data.validation_rules.{rule}": value for rule, value in version.rules.items()}
    roles = {f"{role}_column": name for role, name in version.report.get("columns", {}).items()}
    fitting = [
        name for name, task in TASKS.items() if roles.keys() <= task.Options.model_fields.keys()
    ]
    if roles and fitting:
        rules |= {"task.name": fitting[0], **{f"task.{role}": name for role, name in roles.items()}}
    # JSON is YAML, in which assignments are written.
    return [f"{field}={json.dumps(value)}" for field, value in rules.items()]
