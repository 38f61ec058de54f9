"""Named dependencies of routes: the parts of the service, who asks, and what they ask about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import Scope

from tunesmith.api.auth import Authenticator, Identity, Origin
from tunesmith.api.bodies import read_json_object
from tunesmith.api.schemas.base import EXPERIMENT_ID, TEXT
from tunesmith.api.server import CONNECTION
from tunesmith.api.service import Service
from tunesmith.errors import NotFoundError, shorten
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.store import Store

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="An access token, `ts_…`, or a token of the OpenID Connect provider. Not needed "
    "by the account that started the API, on this machine's own address, unless tokens are "
    "required.",
)

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers by which proxies say that they pass on what somebody else asked."""


async def get_service(request: Request) -> Service:
    """The parts of the running API."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


async def get_store(service: ServiceDep) -> Store:
    """The store."""
    return service.store


async def get_settings(service: ServiceDep) -> Settings:
    """The settings."""
    return service.settings


StoreDep = Annotated[Store, Depends(get_store)]
SettingsDep = Annotated[Settings, Depends(get_settings)]


def identify(
    request: Request,
    service: ServiceDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> Identity:
    """Who asks. Raises UnauthenticatedError, TooManyAttemptsError."""
    return identified(request, service.authenticator, shown_token(request, credentials))


def shown_token(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str | None:
    """The token that `request` shows; its whole header where that is none of Bearer's."""
    return credentials.credentials if credentials else request.headers.get("authorization")


def identified(request: Request, authenticator: Authenticator, token: str | None) -> Identity:
    """Who sent `request` with `token`. Raises as `Authenticator.identify` does."""
    identity = authenticator.identify(token, origin_of(request.scope))
    request.state.actor = identity.name
    return identity


def origin_of(scope: Scope) -> Origin:
    """Where the request or WebSocket of `scope` comes from."""
    headers = Headers(scope=scope)
    client, server = (
        (str(end[0]), int(end[1])) if end and end[1] else None
        for end in (scope.get("client"), scope.get("server"))
    )
    forwarded = any(name in headers for name in FORWARDED)
    return Origin(client, server, forwarded, scope.get("state", {}).get(CONNECTION, {}))


def get_identify(
    request: Request,
    service: ServiceDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> Callable[[], Identity]:
    """What tells again who asks, for answers that last: their token may be revoked meanwhile."""
    return partial(identify, request, service, credentials)


IdentifyDep = Annotated[Callable[[], Identity], Depends(get_identify)]


def needs(role: Role) -> Callable[[Identity], Awaitable[Identity]]:
    """A dependency that lets through who may do what `role` may."""

    async def allowed(identity: Annotated[Identity, Depends(identify)]) -> Identity:
        identity.require(role)
        return identity

    return allowed


Viewer = Annotated[Identity, Depends(needs(Role.VIEWER))]
Member = Annotated[Identity, Depends(needs(Role.MEMBER))]
Admin = Annotated[Identity, Depends(needs(Role.ADMIN))]


async def take_turn(service: ServiceDep, _: Viewer) -> AsyncIterator[None]:
    """A turn for what takes long, until the handler is done. Raises BusyError."""
    async with service.turns.take():
        yield


TurnDep = Annotated[None, Depends(take_turn, scope="function")]
"""The last parameter of its handler: a body that comes slowly shall not hold a turn."""


async def take_light_turn(service: ServiceDep, _: Viewer) -> AsyncIterator[None]:
    """A turn for what takes little; checks of whole datasets can't keep it. Raises BusyError."""
    async with service.light_turns.take():
        yield


LightTurnDep = Annotated[None, Depends(take_light_turn, scope="function")]
"""The last parameter of its handler, likewise."""


async def take_short_turn(service: ServiceDep, _: Member) -> AsyncIterator[None]:
    """A turn among what takes little time; what takes long can't keep it. Raises BusyError."""
    async with service.short_turns.take():
        yield


ShortTurnDep = Annotated[None, Depends(take_short_turn, scope="function")]
"""The last parameter of its handler, likewise."""


class Auditor:
    """Writes down who did what."""

    def __init__(self, request: Request, store: Store) -> None:
        self._store = store
        self._request = request

    def record(self, action: str, target: str, **details: Any) -> None:
        """Add to the audit trail what was just done; it is logged too."""
        actor = getattr(self._request.state, "actor", "")
        address = self._request.client.host if self._request.client else ""
        write_down(self._store, actor, action, target, address=address, **details)


async def get_auditor(request: Request, store: StoreDep) -> Auditor:
    """What writes down who did what."""
    return Auditor(request, store)


AuditDep = Annotated[Auditor, Depends(get_auditor)]

Text = Annotated[str | None, Query(max_length=200, pattern=TEXT)]
"""A filter by text."""

ExperimentId = Annotated[
    str,
    Path(
        description="Id of an experiment: 12 hexadecimal digits.",
        examples=["3f9c21d07a4e"],
    ),
]


def get_experiment(experiment_id: ExperimentId, store: StoreDep, _: Viewer) -> Experiment:
    """The experiment in the path. Raises NotFoundError."""
    return find_experiment(experiment_id, store)


def find_experiment(experiment_id: str, store: Store) -> Experiment:
    """The experiment with exactly this id. Raises NotFoundError."""
    if re.fullmatch(EXPERIMENT_ID, experiment_id) is None:
        raise NotFoundError(
            f"there is no experiment {shorten(experiment_id)}; an id is 12 hexadecimal digits, as "
            "GET /experiments lists them."
        )
    return store.get(experiment_id)


UsableReference = Annotated[
    str,
    Path(
        description="Id of an experiment, or a registered adapter: its name (the version in "
        "production), `reviews@3`, `reviews@staging`.",
        examples=["3f9c21d07a4e", "reviews@production"],
        max_length=200,
    ),
]


@dataclass(frozen=True)
class Usable:
    """An experiment whose adapter is to be used."""

    experiment: Experiment
    weights_hash: str | None
    """What the adapter must be, where a registered version was named."""


def get_usable(experiment_id: UsableReference, store: StoreDep, _: Viewer) -> Usable:
    """The experiment in the path, or that of the version. Raises NotFoundError."""
    if re.fullmatch(EXPERIMENT_ID, experiment_id) is None:
        name = experiment_id.partition("@")[0]
        if "@" in experiment_id or store.registry.knows(name):
            experiment, version = store.registry.find_for_use(experiment_id)
            return Usable(experiment, None if version is None else version.weights_hash)
    return Usable(find_experiment(experiment_id, store), None)


def get_changeable(experiment_id: ExperimentId, store: StoreDep, identity: Member) -> Experiment:
    """The experiment in the path, where who asks may change it. Raises AccessError."""
    experiment = find_experiment(experiment_id, store)
    identity.require_change(experiment)
    return experiment


ExperimentDep = Annotated[Experiment, Depends(get_experiment)]
UsableDep = Annotated[Usable, Depends(get_usable)]
ChangeableDep = Annotated[Experiment, Depends(get_changeable)]
JsonObject = Annotated[dict[str, Any], Depends(read_json_object)]
