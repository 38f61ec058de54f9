"""Settings of who may do what: access tokens, proxies, a provider for sign-in, the hub's token."""

from __future__ import annotations

import ipaddress
import os
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from tunesmith.messages import say


class AccessSettings(BaseModel):
    """Who is let in, and as whom the hub is asked."""

    model_config = ConfigDict(defer_build=True)  # Settings is built of it

    require_tokens: bool = False
    """Whether the API asks for access tokens on this machine's own address too."""
    trusted_proxies: str | None = None
    """Addresses or networks of proxies in front of API and page, a space between two: their
    X-Forwarded-For is trusted. By default none is."""
    oidc_issuer: str | None = None
    """Address of an OpenID Connect provider whose tokens the API accepts."""
    oidc_audience: str = "tunesmith"
    """Audience that such a token must be made for."""
    oidc_role_claim: str = "tunesmith_role"
    """Claim that says viewer, member or admin; without it: viewer."""
    oidc_client_id: str | None = None
    """What the provider calls the web page; with it, people sign in there, and the API takes tokens
    made for it."""
    oidc_client_secret: SecretStr | None = None
    """The web page's secret at the provider, where it has one; never logged."""
    hf_token: SecretStr | None = Field(None, validation_alias="HF_TOKEN")
    """Hugging Face token for gated and private models; never logged or recorded."""
    share_hub_token: bool = True
    """Whether API and workers use HF_TOKEN for what members ask of the hub; if not, only commands
    at the machine itself do."""

    @field_validator("trusted_proxies")
    @classmethod
    def _proxy_addresses(cls, value: str | None) -> str | None:
        for address in (value or "").replace(",", " ").split():
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ValueError(
                    say(
                        "addresses such as 127.0.0.1, or networks such as 10.0.3.0/24, a space "
                        "between two"
                    )
                ) from None
        return value

    @property
    def proxies(self) -> tuple[str, ...]:
        """Addresses and networks of the proxies whose `X-Forwarded-For` is believed."""
        return tuple((self.trusted_proxies or "").replace(",", " ").split())

    def for_others(self) -> Self:
        """These settings for a process that works for whoever asks over the network.

        Where the hub's token isn't shared, they and the environment of this process are without it,
        and the hub's libraries look for none: call it before they are loaded.
        """
        if self.share_hub_token:
            return self
        os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
        os.environ.pop("HF_TOKEN", None)
        return self.model_copy(update={"hf_token": None})

    @property
    def token(self) -> str | None:
        """The Hugging Face token in clear, for the one call that needs it."""
        return self.hf_token.get_secret_value() if self.hf_token else None
