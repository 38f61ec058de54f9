"""The records of sweeps, as frozen values; importing them loads no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tunesmith.schemas.base import Said
from tunesmith.schemas.enums import SweepStatus, TrialState
from tunesmith.store.entities.experiments import new_experiment_id, utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One setting of a sweep: its experiments are ordinary ones, one for each seed."""

    sweep_id: str
    number: int
    """0 for the first; the baseline where the sweep has one."""
    state: TrialState = TrialState.RUNNING
    value: float | None = None
    """Mean of the sweep's metric over its experiments; of a pruned one, the last one known."""
    epoch: float | None = None
    """How far a pruned one came."""
    reason: Said | None = None
    """Why it was pruned, failed or was cancelled."""
    created_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    parameters: Mapping[str, Any]
    """Dotted field → value."""
    experiments: tuple[str, ...]
    """Ids of its experiments, chosen before they are queued: so each is queued once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A search for the best setting: what was asked, and where it stands."""

    id: str = field(default_factory=new_experiment_id)
    name: str
    status: SweepStatus = SweepStatus.RUNNING
    owner: str = ""
    """Who submitted it, as of an experiment."""
    confined: bool = False
    """Whether it came over the network: its experiments read no files but the service's own."""
    reason: Said | None = None
    """Why it failed or was cancelled."""
    created_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    asked: Mapping[str, Any]
    """The sweep file, its base configuration inside, as `config.sweep.SweepConfig` reads it."""
