"""Strange origins, bodies that are too large or too slow, and what every answer says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.serving import Api, serving
from tests.api.test_train import problem

from tunesmith.settings import Settings


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
     "192.168.1.5", "", "[::1", "localhost@evil.example"],
)  # fmt: skip
def test_a_name_of_a_stranger_that_points_here_opens_nothing(api: Api, host: str) -> None:
    assert api.get("/experiments", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.2", "[::1]:80"]
)
def test_names_of_this_machine_are_its_own(api: Api, host: str) -> None:
    assert api.get("/experiments", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:9",
        "http://localhost.evil.example",
        "http://[",
    ],
)
def test_a_page_of_a_stranger_changes_nothing(
    api: Api, config: dict[str, Any], origin: str
) -> None:
    problem(api.post("/train", json=config, headers={"Origin": origin}), 403)
    assert not api.store.list()


def test_a_page_of_this_server_may_change_things(api: Api, config: dict[str, Any]) -> None:
    origin = f"http://127.0.0.1:{api.port}"
    assert api.post("/train", json=config, headers={"Origin": origin}).status_code == 202


def test_no_answer_may_be_read_by_another_page(api: Api) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for response in (
        api.options("/train", headers=asked),
        api.get("/experiments", headers={"Origin": "https://evil.example"}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/experiments", "/nothing", "/docs", "/openapi.json", "/health/live"]
)
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src" in headers["content-security-policy"]


def test_the_page_of_the_api_needs_nothing_from_elsewhere(api: Api) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    script = page.text.split('<script src="')[1].split('"')[0]
    assert api.get(script).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_json_that_is_too_large_is_not_read(api: Api, chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"experiment_name": "'
        for _ in range(40):
            yield b"x" * 50_000
        yield b'"}'

    body: Any = pieces() if chunked else b"".join(pieces())
    headers = {"Content-Type": "application/json"}
    response = api.post("/train", content=body, headers=headers)
    assert "1 MiB" in problem(response, 413)["detail"]


@pytest.mark.parametrize("path", ["/train", "/datasets"])
def test_a_body_that_never_comes_is_given_up(settings: Settings, path: str) -> None:
    with (
        serving(settings, patience=0.3) as api,
        socket.create_connection(("127.0.0.1", api.port), timeout=20) as slow,
    ):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        if path == "/train":
            head = head.replace("multipart/form-data; boundary=b", "application/json")
        slow.sendall(head.encode() + b"--")
        answer = slow.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in answer
        assert api.get("/health/live").status_code == 200


def test_a_connection_that_breaks_off_in_the_middle_harms_nobody(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as broken:
        broken.sendall(
            b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
    assert api.get("/datasets").json() == {"items": []}
