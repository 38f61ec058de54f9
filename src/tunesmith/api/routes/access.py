"""Tokens, who asks, and who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from tunesmith.api.access.auth import Identity
from tunesmith.api.access.tokens import create_token
from tunesmith.api.deps import Admin, Offset, Text, identify
from tunesmith.api.http.documentation import BODY, errors
from tunesmith.schemas.service import AuditPage, CreatedToken, NewToken, Tokens, TokenState, Whoami

router = APIRouter(tags=["access"])


@router.get("/whoami", responses=errors(), summary="Who you are")
def whoami(identity: Annotated[Identity, Depends(identify)]) -> Whoami:
    """Whom the API takes you for, and your role."""
    return Whoami.model_validate(identity)


@router.get("/tokens", responses=errors(), summary="List tokens")
def list_tokens(call: Admin) -> Tokens:
    """All tokens by name, the revoked too; never their secrets."""
    return Tokens(items=call.store.access.tokens())


@router.post("/tokens", status_code=201, responses=errors(409, *BODY), summary="Make a token")
def create(body: NewToken, call: Admin) -> CreatedToken:
    """Make a token for a person or a program. The answer is the only place where it is shown."""
    token, secret = create_token(body.name, body.role, call.store, call.identity.name)
    call.record("token.create", token.name, role=token.role)
    return CreatedToken.of(token, token=secret)


@router.delete("/tokens/{name}", responses=errors(404), summary="Revoke a token")
def revoke(
    name: Annotated[str, Path(max_length=200, description="Name of a token.", examples=["maria"])],
    call: Admin,
) -> TokenState:
    """Let a token open nothing any more, within seconds. Its name stays taken."""
    revoked = call.store.access.revoke(name)
    call.service.authenticator.tokens.forget()
    call.record("token.revoke", name)
    return TokenState.model_validate(revoked)


@router.get("/audit", responses=errors(), summary="Who did what")
def audit_trail(
    call: Admin,
    actor: Annotated[Text, Query(description="Only what this one did.")] = None,
    action: Annotated[Text, Query(description="Only this, such as experiment.cancel.")] = None,
    target: Annotated[Text, Query(description="Only what was done to this.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most that are given.")] = 50,
    offset: Offset = 0,
) -> AuditPage:
    """The audit trail, the newest first; nobody can change it."""
    items, total = call.store.access.entries(limit, offset, actor, action, target)
    return AuditPage(items=items, total=total, limit=limit, offset=offset)
