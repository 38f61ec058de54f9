"""The environment: what is accepted, and what is said of the rest."""

from __future__ import annotations

import pytest

from tunesmith.errors import ConfigError
from tunesmith.jobs.broker import broker_trouble
from tunesmith.settings import Settings


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("valkey://:hunter2@127.0.0.1:1/0", "did you mean redis://?"),
        ("amqp://guest:hunter2@127.0.0.1:1//", "one of redis://, rediss://"),
        ("hunter2", "one of redis://, rediss://"),
        ("redis://:hunter2@127.0.0.1:port/0", "the port is a number"),
        ("redis://:hunter2@127.0.0.1:70000/0", "the port is a number"),
        ("redis://:hunter2@127.0.0.1:1/first", "the number of a database"),
        ("redis://:hun/ter2@127.0.0.1:1/0", "write / as %2F"),
        ("redis://user:12/ter2@127.0.0.1:1/0", "write / as %2F"),
        ("redis://:hunter2@127.0.0.1:1/0#ter2", "write / as %2F, # as %23"),
        ("redis://127.0.0.1:1/0?ssl_cert_req=none", "did you mean ssl_cert_reqs?"),
        ("rediss://:hunter2@127.0.0.1:1/0?ssl_cert_reqs=no", "required, optional or none"),
        ("sentinel://127.0.0.1:1;sentinel://:hunter2@127.0.0.1:x", "the port is a number"),
    ],
)
def test_a_brokers_address_that_cannot_be_read_is_refused_without_its_password(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", address)
    with pytest.raises(ConfigError) as raised:
        Settings.read()
    said = str(raised.value)
    assert "REDIS_URL" in said
    assert message in said
    assert "ter2" not in said
    assert raised.value.__cause__ is None, "its own words hold the password"


@pytest.mark.parametrize(
    "address",
    [
        "redis://127.0.0.1:1/0",
        "redis://127.0.0.1:1",
        "redis://user:hun%2Fter2@127.0.0.1:1/15",
        "redis://[::1]:1/",
        "rediss://127.0.0.1:1/0?ssl_cert_reqs=required",
    ],
)
def test_a_brokers_address_that_is_accepted_can_be_read_by_its_client(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", address)
    trouble = broker_trouble(Settings.read().broker_url)
    assert trouble is not None
    assert "can't be read" not in trouble


@pytest.mark.parametrize(
    "address",
    ["tunesmith.example.com", "ftp://a.example", "https://a.example/page", "https://u:p@a.example"],
)
def test_an_address_of_the_page_that_browsers_could_not_come_back_to_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_UI_URL", address)
    with pytest.raises(ConfigError, match="TUNESMITH_UI_URL"):
        Settings.read()
    monkeypatch.setenv("TUNESMITH_UI_URL", "https://a.example:8443/")
    assert Settings.read().ui_public_url == "https://a.example:8443"
