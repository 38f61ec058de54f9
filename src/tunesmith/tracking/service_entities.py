"""The records of the service: workers, queues, who may do what, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tunesmith.tracking.entities import utc_now


class Role(StrEnum):
    """What the holder of a token may do; each may do all that those before it may."""

    VIEWER = "viewer"
    """Looks at everything."""
    MEMBER = "member"
    """Submits experiments, and changes its own."""
    ADMIN = "admin"
    """Changes everybody's experiments, the queues and the tokens; reads the audit trail."""

    @property
    def order(self) -> int:
        """0 for the role that may do least."""
        return tuple(Role).index(self)

    def allows(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        return self.order >= other.order


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
    """How often it has given a sign of life: it counts, as an experiment's does."""
    seen_at: datetime = field(default_factory=utc_now)
    """Its last sign of life, by its own clock: to be shown, not to be decided by."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """What it and its devices used then, as `jobs.usage` measures it; empty until it said so."""

    @property
    def silence(self) -> timedelta:
        """Time since its last sign of life, as far as its clock and this machine's agree."""
        return max(utc_now() - self.seen_at, timedelta())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One queue: whether it is paused, and how many experiments wait in it and run from it."""

    name: str
    paused: bool = False
    paused_by: str = ""
    """Who paused it; empty when it isn't paused, or nobody had to say who they are."""
    waiting: int = 0
    running: int = 0


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
