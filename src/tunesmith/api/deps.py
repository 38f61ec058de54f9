"""Named dependencies of routes: the call itself, its turn, and what it asks about."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field

from tunesmith.api.access.auth import Authenticator, Identity
from tunesmith.api.http.bodies import read_json_object
from tunesmith.api.service import Service
from tunesmith.errors import NotFoundError, shorten
from tunesmith.files.folder import ExperimentFolder
from tunesmith.names import Version
from tunesmith.network.origin import origin_of
from tunesmith.schemas.base import EXPERIMENT_ID, LARGEST, TEXT, ResponseModel
from tunesmith.schemas.enums import Role
from tunesmith.schemas.notes import MOST_TAGS
from tunesmith.settings import Settings
from tunesmith.store.audit import write_down
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="An access token, `ts_…`, or a token of the OpenID Connect provider. Not needed "
    "by the account that started the API, on this machine's own address, unless tokens are "
    "required.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


async def get_service(request: Request) -> Service:
    """The parts of the running API."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def identify(request: Request, service: ServiceDep, credentials: Credentials) -> Identity:
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


def get_identify(
    request: Request, service: ServiceDep, credentials: Credentials
) -> Callable[[], Identity]:
    """A function that identifies the client again, for long answers: its token may be revoked."""
    return partial(identify, request, service, credentials)


IdentifyDep = Annotated[Callable[[], Identity], Depends(get_identify)]


@dataclass(frozen=True)
class Call:
    """What a route is asked by somebody, and the service that it answers with."""

    request: Request
    service: Service
    identity: Identity

    @property
    def store(self) -> Store:
        """The store."""
        return self.service.store

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.service.settings

    def record(self, action: str, target: str, **details: Any) -> None:
        """Add to the audit trail what was just done; it is logged too."""
        address = self.request.client.host if self.request.client else ""
        write_down(self.store, self.identity.name, action, target, address=address, **details)

    def polled(self, answer: ResponseModel) -> Response:
        """`answer` as JSON with its ETag; 304 without a body where the client has it already.

        https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match
        """
        body = answer.model_dump_json().encode()
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        asked = self.request.headers.get("if-none-match", "").split(",")
        known = [part.strip().removeprefix("W/") for part in asked]
        if known == ["*"] or tag in known:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)


def needs(role: Role) -> Callable[..., Awaitable[Call]]:
    """A dependency that lets through who may do what `role` may."""

    async def allowed(
        request: Request, service: ServiceDep, identity: Annotated[Identity, Depends(identify)]
    ) -> Call:
        identity.require(role)
        return Call(request, service, identity)

    return allowed


Viewer = Annotated[Call, Depends(needs(Role.VIEWER))]
Member = Annotated[Call, Depends(needs(Role.MEMBER))]
Admin = Annotated[Call, Depends(needs(Role.ADMIN))]


def _turn(kind: str) -> Callable[..., AsyncIterator[None]]:
    """A dependency that holds a turn of this kind until the handler is done. Raises BusyError."""

    async def take(call: Viewer) -> AsyncIterator[None]:
        async with getattr(call.service, kind).take():
            yield

    return take


take_turn, take_light_turn, take_short_turn = map(_turn, ("turns", "light_turns", "short_turns"))

TurnDep = Annotated[None, Depends(take_turn, scope="function")]
"""A turn for what takes long. The last parameter of its handler: a body that comes slowly shall
not hold a turn."""
LightTurnDep = Annotated[None, Depends(take_light_turn, scope="function")]
"""One for what takes little; checks of whole datasets can't keep it."""
ShortTurnDep = Annotated[None, Depends(take_short_turn, scope="function")]
"""One among what submits; what takes long can't keep it."""

Text = Annotated[str | None, Query(max_length=200, pattern=TEXT)]
"""A filter by text."""

Tags = Annotated[
    tuple[Annotated[str, Field(max_length=200, pattern=TEXT)], ...],
    Query(max_length=MOST_TAGS, description="A tag that it has; several: all of them."),
]

Offset = Annotated[int, Query(ge=0, le=LARGEST, description="How many to pass over.")]
"""Where a page of a list begins."""

ExperimentId = Annotated[
    str, Path(description="Id of an experiment: 12 hexadecimal digits.", examples=["3f9c21d07a4e"])
]


def get_experiment(experiment_id: ExperimentId, call: Viewer) -> Experiment:
    """The experiment in the path. Raises NotFoundError."""
    return find_experiment(experiment_id, call.store)


def find_experiment(experiment_id: str, store: Store) -> Experiment:
    """The experiment with exactly this id. Raises NotFoundError."""
    if re.fullmatch(EXPERIMENT_ID, experiment_id) is None:
        raise NotFoundError(
            "there is no experiment {id}; an id is 12 hexadecimal digits, as GET "
            "/experiments lists them.",
            id=shorten(experiment_id),
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


def get_usable(experiment_id: UsableReference, call: Viewer) -> tuple[Experiment, str | None]:
    """The experiment in the path, or that of the version, and then the hash of its weights.

    Raises NotFoundError.
    """
    registry = call.store.registry
    if re.fullmatch(EXPERIMENT_ID, experiment_id) is None:
        asked = Version.of(experiment_id)
        if asked.which is not None or registry.knows(asked.name):
            experiment, version = registry.find_for_use(experiment_id)
            return experiment, None if version is None else version.weights_hash
    return find_experiment(experiment_id, call.store), None


def get_changeable(experiment_id: ExperimentId, call: Member) -> Experiment:
    """The experiment in the path, where who asks may change it. Raises AccessError."""
    experiment = find_experiment(experiment_id, call.store)
    call.identity.require_change(experiment)
    return experiment


ExperimentDep = Annotated[Experiment, Depends(get_experiment)]


def get_folder(experiment: ExperimentDep, service: ServiceDep) -> ExperimentFolder:
    """The folder of the experiment in the path."""
    return service.folder_of(experiment)


FolderDep = Annotated[ExperimentFolder, Depends(get_folder)]
UsableDep = Annotated[tuple[Experiment, str | None], Depends(get_usable)]
ChangeableDep = Annotated[Experiment, Depends(get_changeable)]
JsonObject = Annotated[dict[str, Any], Depends(read_json_object)]
