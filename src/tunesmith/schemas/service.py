"""Queues, workers, health, tokens and the audit trail, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunesmith.schemas.base import Page, ResponseModel, Said, WithMessages
from tunesmith.schemas.enums import Role
from tunesmith.schemas.experiments import Broker, ExperimentSummary

TOKEN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$"
"""What a token can be called."""


class Queue(ResponseModel):
    """One queue."""

    name: str = Field(description="cpu: any worker takes from it; gpu: workers with a GPU.")
    paused: bool = Field(description="Whether nothing is taken from it now.")
    paused_by: str = Field(description="Who paused it.")
    waiting: int = Field(description="Experiments that wait in it.")
    running: int = Field(description="Experiments from it that run.")


class QueueReport(ResponseModel):
    """The queues, and what waits in them, in the order in which it is taken."""

    queues: list[Queue]
    waiting: list[ExperimentSummary] = Field(description="The first that wait, by queue and place.")
    broker: Broker


class DeviceUsage(ResponseModel):
    """How much of a device is in use, by whomever; null where that can't be found out."""

    name: str = Field(description="Such as cuda:0.")
    kind: str = Field(description="What it is, such as NVIDIA H100 80GB HBM3, mps or cpu.")
    memory_used: int | None = Field(description="Bytes.")
    memory_total: int | None = Field(description="Bytes.")
    utilization: float | None = Field(description="Percent of the time in which it computed.")


class Usage(ResponseModel):
    """What a worker's machine and devices use."""

    cpu_percent: float = Field(description="Use of all cores together, 0 to 100.")
    memory_used: int = Field(description="Bytes.")
    memory_total: int = Field(description="Bytes.")
    disk_free: int | None = Field(description="Bytes, where its experiments are kept.")
    disk_total: int | None = Field(description="Bytes.")
    devices: list[DeviceUsage]


class WorkerState(ResponseModel):
    """A process that takes experiments from queues."""

    name: str
    host: str
    pid: int
    devices: list[str] = Field(description="Devices that it trains on, such as cuda:0.")
    queues: list[str]
    slots: int = Field(description="How many experiments it trains at once.")
    version: str = Field(description="Its version of Tunesmith.")
    started_at: datetime
    seen_at: datetime = Field(description="Its last heartbeat, by its own clock.")
    running: list[str] = Field(description="Ids of the experiments that it trains now.")
    usage: Usage | None = Field(description="As of its last heartbeat; null before the first.")


class Workers(ResponseModel):
    """The workers."""

    items: list[WorkerState]


class Alive(ResponseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str = Field(description="Version of Tunesmith.")


class Part(WithMessages, ResponseModel):
    """One thing that the service needs."""

    ok: bool
    message: Said


class Readiness(ResponseModel):
    """Whether the service can do its work."""

    ready: bool = Field(
        description="Whether requests can be answered: the store is there, and the disk has room."
    )
    store: Part
    disk: Part = Field(description="Where results lie; without room nothing can be submitted.")
    broker: Part = Field(description="Without it everything works, and workers hear later.")
    workers: int = Field(description="Workers that are registered.")


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "maria", "role": "member"}}
    )

    name: str = Field(pattern=TOKEN_NAME, description="Who will hold it.")
    role: Role = Field(Role.MEMBER, description="What its holder may do.")


class TokenState(ResponseModel):
    """A token, without its secret."""

    name: str
    role: Role
    prefix: str = Field(description="The beginning, by which it is recognised.")
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedToken(TokenState):
    """A token that was made, with its secret, which is never shown again."""

    token: str = Field(description="What to send as Authorization: Bearer …; keep it safe.")


class Tokens(ResponseModel):
    """The tokens, the revoked too."""

    items: list[TokenState]


class AuditRecord(ResponseModel):
    """One thing that somebody did."""

    id: int | None
    at: datetime
    actor: str = Field(description="Who did it: a token, an account, or local.")
    action: str = Field(description="What was done, such as experiment.cancel.")
    target: str = Field(description="What it was done to.")
    details: dict[str, Any]
    address: str = Field(description="Network address that it was asked from.")


class AuditPage(Page):
    """A part of the audit trail, the newest first."""

    items: list[AuditRecord]


class Whoami(ResponseModel):
    """Who the API takes you for."""

    name: str
    role: Role
    via: Literal["local", "token", "oidc"] = Field(
        description="How that is known: local is whoever is at this machine."
    )
    display_name: str = Field(
        description="What people call them, where a provider's token says it; else empty."
    )
