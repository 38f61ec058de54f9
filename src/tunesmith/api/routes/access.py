"""Tokens, who asks, and who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from tunesmith.api.auth import Identity
from tunesmith.api.deps import Admin, AuditDep, ServiceDep, StoreDep, Text, identify
from tunesmith.api.documentation import BODY, errors
from tunesmith.api.schemas.base import LARGEST
from tunesmith.api.schemas.service import (
    AuditPage,
    AuditRecord,
    CreatedToken,
    NewToken,
    Tokens,
    TokenState,
    Whoami,
)
from tunesmith.api.tokens import create_token

router = APIRouter(tags=["access"])


@router.get("/whoami", responses=errors(), summary="Who you are")
def whoami(identity: Annotated[Identity, Depends(identify)]) -> Whoami:
    """Whom the API takes you for, and your role."""
    return Whoami(
        name=identity.name,
        role=identity.role,
        via=identity.via,
        display_name=identity.display_name,
    )


@router.get("/tokens", responses=errors(), summary="List tokens")
def list_tokens(store: StoreDep, _: Admin) -> Tokens:
    """All tokens by name, the revoked too; never their secrets."""
    return Tokens(items=[TokenState.model_validate(token) for token in store.access.tokens()])


@router.post("/tokens", status_code=201, responses=errors(409, *BODY), summary="Make a token")
def create(body: NewToken, identity: Admin, store: StoreDep, audit: AuditDep) -> CreatedToken:
    """Make a token for a person or a program. The answer is the only place where it is shown."""
    token, secret = create_token(body.name, body.role, store, identity.name)
    audit.record("token.create", token.name, role=token.role)
    return CreatedToken(**TokenState.model_validate(token).model_dump(), token=secret)


@router.delete("/tokens/{name}", responses=errors(404), summary="Revoke a token")
def revoke(
    name: Annotated[str, Path(max_length=200, description="Name of a token.", examples=["maria"])],
    service: ServiceDep,
    _: Admin,
    audit: AuditDep,
) -> TokenState:
    """Let a token open nothing any more, within seconds. Its name stays taken."""
    revoked = service.store.access.revoke(name)
    service.authenticator.tokens.forget()
    audit.record("token.revoke", name)
    return TokenState.model_validate(revoked)


@router.get("/audit", responses=errors(), summary="Who did what")
def audit_trail(
    store: StoreDep,
    _: Admin,
    actor: Annotated[Text, Query(description="Only what this one did.")] = None,
    action: Annotated[Text, Query(description="Only this, such as experiment.cancel.")] = None,
    target: Annotated[Text, Query(description="Only what was done to this.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most that are given.")] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="How many to pass over.")] = 0,
) -> AuditPage:
    """The audit trail, the newest first; nobody can change it."""
    found, total = store.access.entries(limit, offset, actor, action, target)
    return AuditPage(
        items=[AuditRecord.model_validate(entry) for entry in found],
        total=total,
        limit=limit,
        offset=offset,
    )
