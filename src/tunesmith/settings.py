"""The environment: the only reader of environment variables and of `.env`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunesmith.errors import ConfigError, Problem


class Settings(BaseSettings):
    """What the machine, not the experiment, decides. Each field is an environment variable."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    results_dir: Path = Field(
        Path("results"),
        validation_alias="TUNESMITH_RESULTS_DIR",
        description="Folder that holds every experiment's folder and the default store.",
    )
    database_url: str | None = Field(
        None,
        validation_alias="TUNESMITH_DATABASE_URL",
        description="SQLAlchemy URL of the store; by default SQLite in the results folder.",
    )
    datasets: str | None = Field(
        None,
        validation_alias="TUNESMITH_DATASETS",
        description="Folder or s3:// address of the dataset versions; by default datasets/ in the "
        "results folder.",
    )
    cache_dir: Path = Field(
        Path.home() / ".cache" / "tunesmith",
        validation_alias="TUNESMITH_CACHE_DIR",
        description="Folder for what can be made again, such as converted base models.",
    )
    hf_token: SecretStr | None = Field(
        None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token for gated and private models; never logged or recorded.",
    )
    tz: str = Field(
        "Asia/Taipei", validation_alias="TZ", description="Time zone of the times people see."
    )

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process's environment and `.env`.

        Raises ConfigError with every variable that is wrong.
        """
        try:
            return cls()
        except ValidationError as error:
            raise ConfigError(
                Problem(
                    str(found["loc"][0]),
                    found["msg"].removeprefix("Value error, "),
                    found["input"],
                    place="environment or .env:",
                )
                for found in error.errors()
            ) from error

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
                "no time zone has this name; use one such as Asia/Taipei or UTC"
            ) from error
        return name

    @field_validator("results_dir", "cache_dir")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return self.database_url or f"sqlite:///{self.results_dir / 'experiments.db'}"

    @property
    def datasets_root(self) -> str:
        """Folder or s3:// address of the dataset versions."""
        return self.datasets or str(self.results_dir / "datasets")

    @cached_property
    def timezone(self) -> ZoneInfo:
        """Time zone of the times people see."""
        return ZoneInfo(self.tz)

    @property
    def token(self) -> str | None:
        """The Hugging Face token in clear, for the one call that needs it."""
        return self.hf_token.get_secret_value() if self.hf_token else None
