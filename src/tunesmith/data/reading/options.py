"""How a file is to be read, where its owner says so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from tunesmith.config.schema import DataConfig
from tunesmith.errors import ConfigError, Problem


@dataclass(frozen=True)
class ReadingOptions:
    """What `data.format` and the like say of a file; None is found out by its content."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header: bool | None = None

    @classmethod
    def of(cls, request: DataConfig) -> ReadingOptions:
        """The options that a configuration's data have."""
        return cls(**{each.name: getattr(request, each.name) for each in fields(cls)})

    def given(self) -> dict[str, Any]:
        """Option → value, of those that are set."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def wrong(
        self, name: str, message: str, accepted: str | None = None, suggestion: str | None = None
    ) -> ConfigError:
        """The error for an option that can't be followed."""
        value = getattr(self, name)
        return ConfigError([Problem(f"data.{name}", message, value, accepted, suggestion)])


FOUND_OUT = ReadingOptions()
"""Everything is found out by the content."""
