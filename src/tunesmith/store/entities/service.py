"""The records of the service: workers, tokens, deliveries, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tunesmith.schemas.enums import Role
from tunesmith.store.entities.experiments import utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that takes experiments from queues; it has a name of its own."""

    name: str
    host: str
    pid: int
    devices: tuple[str, ...]
    """Devices that it trains on, such as `cuda:0`."""
    queues: tuple[str, ...]
    slots: int
    """How many experiments it trains at once."""
    version: str
    """Version of Tunesmith."""
    started_at: datetime = field(default_factory=utc_now)
    heartbeat: int = 0
    """Its count of heartbeats, as an experiment's lease has one."""
    seen_at: datetime = field(default_factory=utc_now)
    """Its last heartbeat, by its own clock: to be shown, not to decide by."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """What it and its devices used then, as `jobs.workers.usage` measures it; empty before."""

    @property
    def silence(self) -> timedelta:
        """Time since its last heartbeat, as far as its clock and this machine's agree."""
        return max(utc_now() - self.seen_at, timedelta())


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A named access token as it is stored: without the secret, which its holder alone has."""

    name: str
    role: Role
    prefix: str
    """The token's public beginning, by which it is found."""
    hash: str = field(repr=False)
    """Hash of the secret."""
    created_at: datetime = field(default_factory=utc_now)
    created_by: str = ""
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that somebody did or tried; entries are never changed or deleted."""

    id: int | None = None
    """Number that the store gave it, growing; None before it is recorded."""
    at: datetime = field(default_factory=utc_now)
    actor: str
    """Name of a token, or empty where nobody has to say who they are."""
    action: str
    """What was done, such as `experiment.cancel`."""
    target: str = ""
    """What it was done to: an id or a name."""
    details: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""
    """Network address that it was asked from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One ending of an experiment, for one target."""

    event: str
    """Id of the ending, the same for all targets and attempts: `msg_` and 24 hexadecimal digits."""
    target: str
    experiment_id: str
    created_at: datetime
    due_at: datetime
    """When it may be tried (again)."""
    attempts: int = 0
    """Tries that have begun."""
    facts: Mapping[str, Any]
    """What is delivered, as it was when the experiment ended."""
