"""Settings of the services: broker, API, web page, and how long they wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, field_validator

from tunesmith.errors import nearest
from tunesmith.messages import say
from tunesmith.settings.storage import StorageSettings

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

_CERTIFICATES = ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE")

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Addresses that mean all of this machine's, and where it reaches itself then."""

Port = Annotated[int, Field(ge=1, le=65535)]


class ServiceSettings(StorageSettings):
    """Where the services are, and what they allow a request or a process."""

    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    """Broker that carries the queue's messages; by default the one on REDIS_PORT."""
    redis_port: Port = Field(6379, validation_alias="REDIS_PORT")
    """Port of the broker on this machine; `tunesmith up` starts one if none is."""
    api_port: Port = Field(8000, validation_alias="API_PORT")
    """Port of the REST API."""
    api_host: str = "127.0.0.1"
    """Address of the REST API; any but this machine's own needs access tokens."""
    api_url: str | None = None
    """Address at which the web page finds the API; by default this machine's."""
    ui_port: Port = Field(8501, validation_alias="UI_PORT")
    """Port of the web page."""
    ui_host: str = "127.0.0.1"
    """Address of the web page; any but this machine's own needs an API with tokens."""
    ui_url: str | None = None
    """Address at which browsers find the web page, as behind a server that speaks HTTPS; by default
    this machine's."""
    serve_port: Port = Field(8080, validation_alias="SERVE_PORT")
    """Port of `tunesmith serve`."""
    max_upload_bytes: int = Field(2**30, gt=0)
    """Largest file that may be uploaded."""
    check_seconds: float = Field(120.0, ge=1.0)
    """Seconds that reading and checking data may take for one request to the API."""
    lease_seconds: float = Field(30.0, ge=1.0)
    """Seconds without a heartbeat after which an experiment is taken up again."""
    cancel_grace_seconds: float = Field(60.0, ge=0.0)
    """Seconds that a process gets to save a checkpoint before it is ended."""
    log_format: Literal["text", "json"] = "text"
    """How API and workers log to the terminal: text, or json, one object a line."""

    @field_validator("redis_url")
    @classmethod
    def _broker_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            for address in value.get_secret_value().split(";"):  # sentinels are several
                _check_broker_address(address)
        return value

    @field_validator("ui_url")
    @classmethod
    def _page_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                say("an address as browsers show it, such as https://tunesmith.example.com")
            )
        if parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(
                say("the page stands at the root of its address: nothing follows the host")
            )
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def broker_url(self) -> str:
        """Address of the broker, with its password: for the connection alone."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        password = self.broker_password
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.redis_port}/0"

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


def _check_broker_address(address: str) -> None:
    """Raise ValueError, silent about the password, when the broker's client can't read it."""
    scheme, mark, rest = address.partition("://")
    if not mark or scheme not in BROKERS:
        near = (
            "redis" if scheme in ("valkey", "valkeys", "http", "tcp") else nearest(scheme, BROKERS)
        )
        hint = say("; did you mean {near}://?", near=near) if mark and near else ""
        accepted = ", ".join(f"{name}://" for name in BROKERS)
        raise ValueError(
            say(
                "a broker's address begins with one of {accepted}{hint}",
                accepted=accepted,
                hint=hint,
            )
        )
    if scheme == "redis+socket":
        return
    advice = say("in a password, write / as %2F, # as %23, ? as %3F and @ as %40")
    try:
        parts = urlsplit(f"redis://{rest}")
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError(
            say("the port is a number from 1 to 65535; {advice}", advice=advice)
        ) from None
    if parts.fragment:
        raise ValueError(say("an address has no #; {advice}", advice=advice))
    database = parts.path.removeprefix("/")
    if database and not database.isdecimal():
        raise ValueError(
            say(
                "the port is followed by the number of a database, as in "
                "redis://HOST:6379/0; {advice}",
                advice=advice,
            )
        )
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in BROKER_OPTIONS:
            near = nearest(name, BROKER_OPTIONS)
            hint = (
                say("did you mean {near}?", near=near)
                if near
                else say("there are {names}", names=list(BROKER_OPTIONS))
            )
            raise ValueError(say("no option after ? has this name; {hint}", hint=hint))
        if name == "ssl_cert_reqs" and value not in _CERTIFICATES:
            raise ValueError(say("ssl_cert_reqs is required, optional or none"))


def _address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`, which may mean all addresses."""
    host = _ANY.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
