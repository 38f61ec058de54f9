"""Tokens of an OpenID Connect provider: checked with its published keys, by PyJWT.

https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt

from tunesmith.errors import ConfigError, Problem, ServiceError
from tunesmith.settings import Settings
from tunesmith.tracking.service_entities import Role

ALGORITHMS = ["RS256", "ES256"]
"""Signatures that are accepted; never `none`, never one with a shared secret."""

TIMEOUT = 5.0
"""Seconds that the provider has to answer."""

LEEWAY = 30
"""Seconds by which the provider's clock and ours may differ."""

_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")


@dataclass(frozen=True)
class Account:
    """Who a token was made for."""

    subject: str
    """The provider's own, stable name for the account; e-mail addresses may change hands."""
    role: Role


class OidcVerifier:
    """Recognises the tokens of the provider in the settings.

    Its keys are read when first needed and kept for minutes. Raises ConfigError for an address
    that isn't https.
    """

    def __init__(self, settings: Settings) -> None:
        issuer = settings.oidc_issuer or ""
        if not issuer.startswith(("https://", *_LOOPBACK)):
            raise ConfigError(
                [
                    Problem(
                        "TUNESMITH_OIDC_ISSUER",
                        "keys are read only over an encrypted connection",
                        issuer,
                        "an address that begins with https://",
                    )
                ]
            )
        self._issuer = issuer
        self._audience = settings.oidc_audience
        self._claim = settings.oidc_role_claim
        self._keys: jwt.PyJWKClient | None = None
        self._lock = threading.Lock()

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
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise ServiceError(f"the keys of {self._issuer} can't be read: {error}") from error
        except (jwt.PyJWTError, ValueError):
            return None
        subject = claims["sub"]
        return Account(subject, self._role(claims.get(self._claim))) if subject else None

    def _key_client(self) -> jwt.PyJWKClient:
        with self._lock:
            if self._keys is None:
                self._keys = jwt.PyJWKClient(self._keys_address(), timeout=int(TIMEOUT))
            return self._keys

    def _keys_address(self) -> str:
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = httpx2.get(address, timeout=TIMEOUT).raise_for_status().json()
            issuer, keys = found["issuer"], str(found["jwks_uri"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{address} can't be read: {error}") from error
        if issuer != self._issuer or not keys.startswith(("https://", *_LOOPBACK)):
            raise ServiceError(f"{address} is not the document of {self._issuer}.")
        return keys

    def _role(self, claim: object) -> Role:
        """The highest of the roles that the claim names; without any, viewer."""
        names = claim if isinstance(claim, list) else [claim]
        roles = [role for role in Role if role in names]
        return max(roles, key=lambda role: role.order, default=Role.VIEWER)
