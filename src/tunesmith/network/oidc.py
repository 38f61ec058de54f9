"""The OpenID Connect provider of the settings: where it is, and how long it may take.

https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from tunesmith.errors import ConfigError, Problem
from tunesmith.messages import say
from tunesmith.network.addresses import is_private
from tunesmith.settings import Settings

TIMEOUT = 5.0
"""Seconds that the provider has to answer."""

LEEWAY = 30
"""Seconds by which the provider's clock and ours may differ."""


def provider_address(settings: Settings) -> str:
    """The provider of the settings. Raises ConfigError for an address that isn't https."""
    issuer = settings.oidc_issuer or ""
    if not is_private(issuer):
        why = say("keys are read only over an encrypted connection")
        accepted = say("an address that begins with https://")
        raise ConfigError([Problem("TUNESMITH_OIDC_ISSUER", why, issuer, accepted)])
    return issuer


def discovery_address(issuer: str) -> str:
    """Where a provider describes itself."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"
