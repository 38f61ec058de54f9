"""The environment: the only reader of environment variables and of `.env`."""

from __future__ import annotations

import importlib.metadata
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import AliasGenerator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunesmith.errors import ConfigError, Problem
from tunesmith.messages import say
from tunesmith.messages.foreign import of_pydantic
from tunesmith.settings.access import AccessSettings
from tunesmith.settings.announcements import AnnouncementSettings
from tunesmith.settings.services import ServiceSettings

VERSION = importlib.metadata.version("tunesmith")

SECRETS = Path("/run/secrets")
"""Where containers find their secrets, a file each."""


class Settings(  # type: ignore[pydantic-alias]  # no field is required
    AnnouncementSettings, AccessSettings, ServiceSettings, BaseSettings
):
    """What the machine decides: TUNESMITH_ and each field's name, or its alias, is a variable."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda name: f"TUNESMITH_{name.upper()}"),
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        defer_build=False,
    )

    language: str | None = None
    """Language of the command and of its messages, such as en or zh-TW; by default that of the
    terminal (LC_ALL, LC_MESSAGES, LANG)."""
    tz: str = Field("Asia/Taipei", validation_alias="TZ")
    """Time zone of the times people see."""

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process's environment and `.env`.

        A secret may also be a file of its variable's name in /run/secrets, as Docker and Kubernetes
        put it there. Raises ConfigError with every variable that is wrong.
        """
        try:
            return cls(_secrets_dir=SECRETS if SECRETS.is_dir() else None)
        except ValidationError as error:
            raise ConfigError(
                Problem(
                    str(found["loc"][0]),
                    of_pydantic(found),
                    "***" if found["loc"][0] in _SECRET else found["input"],
                    place=say("environment or .env:"),
                )
                for found in error.errors()
            ) from None  # its own words hold the values, secrets too

    @field_validator("tz")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        name = value.lstrip(":")
        if name.startswith("/"):  # a file of the system's zones, such as /etc/localtime
            name = str(Path(name).resolve()).partition("zoneinfo/")[2]
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                say("no time zone has this name; use one such as Asia/Taipei or UTC")
            ) from error
        return name

    @cached_property  # type: ignore[pydantic-alias]
    def timezone(self) -> ZoneInfo:
        """Time zone of the times people see."""
        return ZoneInfo(self.tz)


_SECRET = {
    str(field.validation_alias)
    for field in Settings.model_fields.values()
    if field.annotation == SecretStr | None
}
"""Variables whose values are shown to nobody."""
