"""Settings of what hears of the end of an experiment: webhooks and a hook."""

from __future__ import annotations

import base64
import binascii
import shlex
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from tunesmith.errors import nearest
from tunesmith.messages import say

ENDS = ("succeeded", "failed", "cancelled")
"""How an experiment may end."""


class AnnouncementSettings(BaseModel):
    """Where the ends of experiments are posted to, and what they start."""

    model_config = ConfigDict(defer_build=True)  # Settings is built of it

    webhook_secret: SecretStr | None = None
    """Secret with which webhooks are signed, as Standard Webhooks has it; `tunesmith webhooks
    secret` makes one."""
    webhooks: SecretStr | None = None
    """Addresses, a space between two, to which the end of every experiment is posted; needs
    TUNESMITH_WEBHOOK_SECRET. Never logged: they may hold a token."""
    webhook_events: str = "succeeded failed cancelled"
    """Which ends are posted, and start the hook."""
    hook: str | None = None
    """Command that is started at the end of every experiment, without a shell, with what webhooks
    get on its standard input."""
    hook_seconds: float = Field(60.0, gt=0.0)
    """Seconds after which that command is ended."""

    @field_validator("webhooks")
    @classmethod
    def _webhook_addresses(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        for address in value.get_secret_value().split() if value is not None else ():
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(
                    say(
                        "addresses such as https://example.com/hooks/tunesmith, a space between two"
                    )
                )
            if parts.username or parts.password or parts.fragment:
                raise ValueError(say("an address of a webhook has no user, password or #"))
        if value is not None and info.data.get("webhook_secret", value) is None:
            raise ValueError(
                say(
                    "needs TUNESMITH_WEBHOOK_SECRET to sign with; `tunesmith webhooks "
                    "secret` makes one"
                )
            )
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            key_of(value.get_secret_value())
        return value

    @field_validator("webhook_events")
    @classmethod
    def _known_events(cls, value: str) -> str:
        for event in value.replace(",", " ").split():
            if event not in ENDS:
                near = nearest(event, ENDS)
                hint = say("; did you mean {name}?", name=near) if near else ""
                raise ValueError(
                    say(
                        "any of {names}, a space between two{hint}",
                        names=", ".join(ENDS),
                        hint=hint,
                    )
                )
        return value

    @field_validator("hook")
    @classmethod
    def _hook_command(cls, value: str | None) -> str | None:
        try:
            if value is not None and not shlex.split(value):
                raise ValueError
        except ValueError:
            raise ValueError(
                say(
                    "a command and its arguments, as a shell would read them, such as "
                    "/opt/hooks/ended --quiet"
                )
            ) from None
        return value

    @property
    def webhook_addresses(self) -> tuple[str, ...]:
        """Where the ends of experiments are posted to, each once; for the connection alone."""
        value = self.webhooks.get_secret_value() if self.webhooks else ""
        return tuple(dict.fromkeys(value.split()))

    @property
    def webhook_key(self) -> bytes:
        """The key with which webhooks are signed; empty where there is none."""
        return key_of(self.webhook_secret.get_secret_value()) if self.webhook_secret else b""

    @property
    def announced_ends(self) -> frozenset[str]:
        """The statuses that webhooks and hook announce."""
        return frozenset(self.webhook_events.replace(",", " ").split())

    @property
    def hook_command(self) -> list[str]:
        """Program and arguments of the hook; empty where there is none."""
        return shlex.split(self.hook) if self.hook else []


def key_of(secret: str) -> bytes:
    """The 24 to 64 bytes in `whsec_` and base64. Raises ValueError, silent about the secret."""
    with suppress(binascii.Error):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        if secret.startswith("whsec_") and 24 <= len(key) <= 64:
            return key
    raise ValueError(
        say("whsec_ and the base64 of 24 to 64 bytes; `tunesmith webhooks secret` makes one")
    )
