"""Tokens of an OpenID Connect provider: checked with its published keys, by PyJWT.

https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt

from tunesmith.errors import ServiceError
from tunesmith.network.addresses import is_private
from tunesmith.network.oidc import LEEWAY, TIMEOUT, discovery_address, provider_address
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings

ALGORITHMS = ["RS256", "ES256"]
"""Signatures that are accepted; never `none`, never one with a shared secret."""

NAME_CLAIMS = ("name", "preferred_username", "email")
"""Claims that tell what people call an account, the best first."""

LONGEST_NAME = 80
"""Characters of such a name that are shown."""

PAUSE = 2.0
"""Seconds for which a provider that didn't answer isn't asked for its address again."""


@dataclass(frozen=True)
class Account:
    """Who a token was made for."""

    subject: str
    """The provider's own, stable name for the account; e-mail addresses may change hands."""
    role: Role
    display_name: str
    """What people call it: to be shown, never to be compared. Empty where the token doesn't say."""


class OidcVerifier:
    """Recognises the tokens of the provider in the settings.

    Its keys are read when first needed and kept for minutes. Raises ConfigError for an address
    that isn't https.
    """

    def __init__(self, settings: Settings) -> None:
        self._issuer = provider_address(settings)
        self._audiences = [settings.oidc_audience]
        if settings.oidc_client_id:  # the page's own tokens say who signed in there
            self._audiences.append(settings.oidc_client_id)
        self._claim = settings.oidc_role_claim
        self._keys: jwt.PyJWKClient | None = None
        self._lock = threading.Lock()
        self._failed: tuple[float, str] | None = None
        """When the provider didn't answer, by the steady clock, and how that is said."""

    def verify(self, text: str) -> Account | None:
        """Whom the token `text` was made for; None when it isn't valid here and now.

        Raises ServiceError when the provider doesn't answer.
        """
        try:
            if jwt.get_unverified_header(text).get("alg") not in ALGORITHMS:
                return None
            key = self._key_client().get_signing_key_from_jwt(text)
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=ALGORITHMS,
                audience=self._audiences,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise ServiceError(
                "the keys of {issuer} can't be read: {error}", issuer=self._issuer, error=error
            ) from error
        except (jwt.PyJWTError, ValueError):
            return None
        subject = claims["sub"]
        if not subject:
            return None
        return Account(subject, self._role(claims.get(self._claim)), _display_name(claims))

    def _key_client(self) -> jwt.PyJWKClient:
        """What reads the keys. The provider is asked outside of the lock: nobody waits for another
        who waits for it."""
        with self._lock:
            if self._keys is not None:
                return self._keys
            if self._failed is not None and time.monotonic() - self._failed[0] < PAUSE:
                raise ServiceError(self._failed[1])
        try:
            made = jwt.PyJWKClient(self._keys_address(), timeout=int(TIMEOUT))
        except ServiceError as error:
            with self._lock:
                self._failed = (time.monotonic(), str(error))
            raise
        with self._lock:
            self._keys = made
        return made

    def _keys_address(self) -> str:
        address = discovery_address(self._issuer)
        try:
            found = httpx2.get(address, timeout=TIMEOUT).raise_for_status().json()
            issuer, keys = found["issuer"], str(found["jwks_uri"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ServiceError(
                "{what} can't be read: {reason}", what=address, reason=error
            ) from error
        if issuer != self._issuer or not is_private(keys):
            raise ServiceError(
                "{address} is not the document of {issuer}.", address=address, issuer=self._issuer
            )
        return keys

    def _role(self, claim: object) -> Role:
        """The highest of the roles that the claim names; without any, viewer."""
        names = claim if isinstance(claim, list) else [claim]
        roles = [role for role in Role if role in names]
        return max(roles, key=lambda role: role.order, default=Role.VIEWER)


def _display_name(claims: Mapping[str, Any]) -> str:
    found = (claims.get(name) for name in NAME_CLAIMS)
    return next((name[:LONGEST_NAME] for name in found if isinstance(name, str) and name), "")
