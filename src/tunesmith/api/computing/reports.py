"""Check reports of dataset versions: made when asked for and kept, as versions never change."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from weakref import WeakValueDictionary

from cachetools import LRUCache
from starlette.concurrency import run_in_threadpool

from tunesmith.api.computing.computations import report_of
from tunesmith.api.computing.processes import Computing
from tunesmith.api.computing.turns import Turns
from tunesmith.data.layouts import NONE
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion
from tunesmith.tasks import TASKS

KEPT = 20
"""Reports that are kept in memory."""

Key = tuple[str, str]
"""Reference of a version, and the hash of its content: a name may be given again."""


class Reports:
    """The check reports of one place's versions. To be used from the event loop alone."""

    def __init__(self, settings: Settings, turns: Turns, computing: Computing) -> None:
        self._settings = settings
        self._turns = turns
        self._computing = computing
        self._kept: LRUCache[Key, dict[str, Any]] = LRUCache(KEPT)
        self._making: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        """Locks under which a report is made: who asks for the same meanwhile waits for it."""

    async def of(self, version: DatasetVersion) -> dict[str, Any]:
        """The whole check report of a version, under the rules that it was imported with.

        Raises DataError when the rows can't be checked, BusyError when the report isn't kept and
        too much that takes long is asked for at once.
        """
        key = (version.reference, version.hash)
        if key not in self._kept:
            async with self._making.setdefault(key, asyncio.Lock()):
                if key not in self._kept:
                    async with self._turns.take():
                        self._kept[key] = await run_in_threadpool(
                            self._computing.run,
                            report_of,
                            version.reference,
                            _as_imported(version),
                            self._settings,
                        )
        return self._kept[key]


def _as_imported(version: DatasetVersion) -> list[str]:
    """Assignments that give the rules and the task's columns of the import again."""
    rules = {f"data.validation_rules.{rule}": value for rule, value in version.rules.items()}
    roles = {f"{role}_column": name for role, name in version.report.get("columns", {}).items()}
    fitting = [
        name for name, task in TASKS.items() if roles.keys() <= task.Options.model_fields.keys()
    ]
    if roles and fitting:
        rules["data.layout"] = version.report.get("usage", {}).get("layout") or NONE
        rules |= {"task.name": fitting[0], **{f"task.{role}": name for role, name in roles.items()}}
    # JSON is YAML, in which assignments are written.
    return [f"{field}={json.dumps(value)}" for field, value in rules.items()]
