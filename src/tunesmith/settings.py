"""The environment: the only reader of environment variables and of `.env`."""

from __future__ import annotations

import base64
import binascii
import importlib.metadata
import ipaddress
import os
import shlex
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunesmith.errors import ConfigError, Problem, nearest

VERSION = importlib.metadata.version("tunesmith")

BROKERS = ("redis", "rediss", "redis+socket", "sentinel")
"""How the address of a broker may begin."""

BROKER_OPTIONS = (
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
)
"""What may follow the `?` of such an address, as kombu's `parse_url` reads it."""

ENDS = ("succeeded", "failed", "cancelled")
"""How an experiment may end."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Addresses that mean all of this machine's, and where it reaches itself then."""

SECRETS = Path("/run/secrets")
"""Where containers find their secrets, a file each."""


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
    file_access: Literal["owner", "group", "all"] = Field(
        "owner",
        validation_alias="TUNESMITH_FILE_ACCESS",
        description="Who may read the files that Tunesmith writes: their owner, the owner's group "
        "too, or all accounts of the machine.",
    )
    hf_token: SecretStr | None = Field(
        None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token for gated and private models; never logged or recorded.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="Broker that carries the queue's messages; by default the one on REDIS_PORT.",
    )
    redis_port: int = Field(
        6379,
        ge=1,
        le=65535,
        validation_alias="REDIS_PORT",
        description="Port of the broker on this machine; `tunesmith up` starts one if none is.",
    )
    api_port: int = Field(
        8000, ge=1, le=65535, validation_alias="API_PORT", description="Port of the REST API."
    )
    api_host: str = Field(
        "127.0.0.1",
        validation_alias="TUNESMITH_API_HOST",
        description="Address of the REST API; any but this machine's own needs access tokens.",
    )
    require_tokens: bool = Field(
        False,
        validation_alias="TUNESMITH_REQUIRE_TOKENS",
        description="Whether the API asks for access tokens on this machine's own address too.",
    )
    trusted_proxies: str | None = Field(
        None,
        validation_alias="TUNESMITH_TRUSTED_PROXIES",
        description="Addresses or networks of proxies in front of API and page, a space between "
        "two: their X-Forwarded-For is trusted. By default none is.",
    )
    api_url: str | None = Field(
        None,
        validation_alias="TUNESMITH_API_URL",
        description="Address at which the web page finds the API; by default this machine's.",
    )
    ui_port: int = Field(
        8501, ge=1, le=65535, validation_alias="UI_PORT", description="Port of the web page."
    )
    ui_host: str = Field(
        "127.0.0.1",
        validation_alias="TUNESMITH_UI_HOST",
        description="Address of the web page; any but this machine's own needs an API with tokens.",
    )
    ui_url: str | None = Field(
        None,
        validation_alias="TUNESMITH_UI_URL",
        description="Address at which browsers find the web page, as behind a server that speaks "
        "HTTPS; by default this machine's.",
    )
    serve_port: int = Field(
        8080,
        ge=1,
        le=65535,
        validation_alias="SERVE_PORT",
        description="Port of `tunesmith serve`.",
    )
    artifacts: str | None = Field(
        None,
        validation_alias="TUNESMITH_ARTIFACTS",
        description="s3:// address that experiments' folders are copied to, for workers on several "
        "machines without shared files; by default they stay in the results folder alone.",
    )
    data_dir: Path = Field(
        Path(),
        validation_alias="TUNESMITH_DATA_DIR",
        description="Folder in which the data and models lie that may be named over the API.",
    )
    max_upload_bytes: int = Field(
        2**30,
        gt=0,
        validation_alias="TUNESMITH_MAX_UPLOAD_BYTES",
        description="Largest file that may be uploaded.",
    )
    check_seconds: float = Field(
        120.0,
        ge=1.0,
        validation_alias="TUNESMITH_CHECK_SECONDS",
        description="Seconds that reading and checking data may take for one request to the API.",
    )
    share_hub_token: bool = Field(
        True,
        validation_alias="TUNESMITH_SHARE_HUB_TOKEN",
        description="Whether API and workers use HF_TOKEN for what members ask of the hub; if not, "
        "only commands at the machine itself do.",
    )
    lease_seconds: float = Field(
        30.0,
        ge=1.0,
        validation_alias="TUNESMITH_LEASE_SECONDS",
        description="Seconds without a sign of life after which an experiment is taken up again.",
    )
    cancel_grace_seconds: float = Field(
        60.0,
        ge=0.0,
        validation_alias="TUNESMITH_CANCEL_GRACE_SECONDS",
        description="Seconds that a process gets to save a checkpoint before it is ended.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias="TUNESMITH_LOG_FORMAT",
        description="How API and workers log to the terminal: text, or json, one object a line.",
    )
    oidc_issuer: str | None = Field(
        None,
        validation_alias="TUNESMITH_OIDC_ISSUER",
        description="Address of an OpenID Connect provider whose tokens the API accepts.",
    )
    oidc_audience: str = Field(
        "tunesmith",
        validation_alias="TUNESMITH_OIDC_AUDIENCE",
        description="Audience that such a token must be made for.",
    )
    oidc_role_claim: str = Field(
        "tunesmith_role",
        validation_alias="TUNESMITH_OIDC_ROLE_CLAIM",
        description="Claim that says viewer, member or admin; without it: viewer.",
    )
    oidc_client_id: str | None = Field(
        None,
        validation_alias="TUNESMITH_OIDC_CLIENT_ID",
        description="What the provider calls the web page; with it, people sign in there, and the "
        "API takes tokens made for it.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None,
        validation_alias="TUNESMITH_OIDC_CLIENT_SECRET",
        description="The web page's secret at the provider, where it has one; never logged.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        validation_alias="TUNESMITH_WEBHOOK_SECRET",
        description="Secret with which webhooks are signed, as Standard Webhooks has it; "
        "`tunesmith webhooks secret` makes one.",
    )
    webhooks: SecretStr | None = Field(
        None,
        validation_alias="TUNESMITH_WEBHOOKS",
        description="Addresses, a space between two, to which the end of every experiment is "
        "posted; needs TUNESMITH_WEBHOOK_SECRET. Never logged: they may hold a token.",
    )
    webhook_events: str = Field(
        "succeeded failed cancelled",
        validation_alias="TUNESMITH_WEBHOOK_EVENTS",
        description="Which ends are posted, and start the hook.",
    )
    hook: str | None = Field(
        None,
        validation_alias="TUNESMITH_HOOK",
        description="Command that is started at the end of every experiment, without a shell, with "
        "what webhooks get on its standard input.",
    )
    hook_seconds: float = Field(
        60.0,
        gt=0.0,
        validation_alias="TUNESMITH_HOOK_SECONDS",
        description="Seconds after which that command is ended.",
    )
    tz: str = Field(
        "Asia/Taipei", validation_alias="TZ", description="Time zone of the times people see."
    )

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
                    found["msg"].removeprefix("Value error, "),
                    "***" if found["loc"][0] in _SECRET else found["input"],
                    place="environment or .env:",
                )
                for found in error.errors()
            ) from None  # its own words hold the values, secrets too

    @field_validator("redis_url")
    @classmethod
    def _broker_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            for address in value.get_secret_value().split(";"):  # sentinels are several
                _check_broker_address(address)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxy_addresses(cls, value: str | None) -> str | None:
        for address in (value or "").replace(",", " ").split():
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ValueError(
                    "addresses such as 127.0.0.1, or networks such as 10.0.3.0/24, a space between "
                    "two"
                ) from None
        return value

    @field_validator("ui_url")
    @classmethod
    def _page_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "an address as browsers show it, such as https://tunesmith.example.com"
            )
        if parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("the page stands at the root of its address: nothing follows the host")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("webhooks")
    @classmethod
    def _webhook_addresses(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        for address in value.get_secret_value().split() if value is not None else ():
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(
                    "addresses such as https://example.com/hooks/tunesmith, a space between two"
                )
            if parts.username or parts.password or parts.fragment:
                raise ValueError("an address of a webhook has no user, password or #")
        if value is not None and info.data.get("webhook_secret", value) is None:
            raise ValueError(
                "needs TUNESMITH_WEBHOOK_SECRET to sign with; `tunesmith webhooks secret` makes one"
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
                hint = f"; did you mean {near}?" if near else ""
                raise ValueError(f"any of {', '.join(ENDS)}, a space between two{hint}")
        return value

    @field_validator("hook")
    @classmethod
    def _hook_command(cls, value: str | None) -> str | None:
        try:
            if value is not None and not shlex.split(value):
                raise ValueError
        except ValueError:
            raise ValueError(
                "a command and its arguments, as a shell would read them, such as "
                "/opt/hooks/ended --quiet"
            ) from None
        return value

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

    @field_validator("results_dir", "cache_dir", "data_dir")
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

    @property
    def broker_url(self) -> str:
        """Address of the broker, with its password: for the connection alone."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        password = self.broker_password
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.redis_port}/0"

    @property
    def services_dir(self) -> Path:
        """Where the services of this machine leave their logs, and what they tell each other."""
        return self.results_dir / ".tunesmith"

    @property
    def broker_password_file(self) -> Path:
        """Where `tunesmith up` leaves the password of the broker that it started."""
        return self.services_dir / "broker-password"

    @property
    def broker_password(self) -> str:
        """That password; empty where it started none."""
        try:
            return self.broker_password_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    @property
    def api_address(self) -> str:
        """Where this machine reaches its own API."""
        return _address(self.api_host, self.api_port)

    @property
    def ui_address(self) -> str:
        """Where this machine reaches its own web page."""
        return _address(self.ui_host, self.ui_port)

    @property
    def ui_public_url(self) -> str:
        """Where browsers reach the web page, without a slash at its end."""
        return self.ui_url or self.ui_address

    @property
    def proxies(self) -> tuple[str, ...]:
        """Addresses and networks of the proxies whose `X-Forwarded-For` is believed."""
        return tuple((self.trusted_proxies or "").replace(",", " ").split())

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
    def told_ends(self) -> frozenset[str]:
        """The statuses of which webhooks and hook are told."""
        return frozenset(self.webhook_events.replace(",", " ").split())

    @property
    def hook_command(self) -> list[str]:
        """Program and arguments of the hook; empty where there is none."""
        return shlex.split(self.hook) if self.hook else []

    @cached_property
    def timezone(self) -> ZoneInfo:
        """Time zone of the times people see."""
        return ZoneInfo(self.tz)

    def for_others(self) -> Settings:
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


_CERTIFICATES = ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE")

_SECRET = {
    str(field.validation_alias)
    for field in Settings.model_fields.values()
    if field.annotation == SecretStr | None
}
"""Variables whose values are shown to nobody."""


def key_of(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes.

    Raises ValueError, silent about it.
    """
    with suppress(binascii.Error):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        if secret.startswith("whsec_") and 24 <= len(key) <= 64:
            return key
    raise ValueError(
        "whsec_ and the base64 of 24 to 64 bytes; `tunesmith webhooks secret` makes one"
    )


def _check_broker_address(address: str) -> None:
    """Raise ValueError, silent about the password, when the broker's client can't read it."""
    scheme, mark, rest = address.partition("://")
    if not mark or scheme not in BROKERS:
        near = (
            "redis" if scheme in ("valkey", "valkeys", "http", "tcp") else nearest(scheme, BROKERS)
        )
        hint = f"; did you mean {near}://?" if mark and near else ""
        accepted = ", ".join(f"{name}://" for name in BROKERS)
        raise ValueError(f"a broker's address begins with one of {accepted}{hint}")
    if scheme == "redis+socket":
        return
    advice = "in a password, write / as %2F, # as %23, ? as %3F and @ as %40"
    try:
        parts = urlsplit(f"redis://{rest}")
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError(f"the port is a number from 1 to 65535; {advice}") from None
    if parts.fragment:
        raise ValueError(f"an address has no #; {advice}")
    database = parts.path.removeprefix("/")
    if database and not database.isdecimal():
        raise ValueError(
            f"the port is followed by the number of a database, as in redis://HOST:6379/0; {advice}"
        )
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in BROKER_OPTIONS:
            near = nearest(name, BROKER_OPTIONS)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(BROKER_OPTIONS)}"
            raise ValueError(f"no option after ? has this name; {hint}")
        if name == "ssl_cert_reqs" and value not in _CERTIFICATES:
            raise ValueError("ssl_cert_reqs is required, optional or none")


def _address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`, which may mean all addresses."""
    host = _ANY.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
