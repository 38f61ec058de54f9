"""The page's own server: whom it takes for whom, and which addresses of the API it passes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from playwright.sync_api import expect
from starlette.types import Scope
from tests.accounts import other_account, relay_of_nobody
from tests.api.serving import add_experiment
from tests.conftest import finish
from tests.ui.conftest import Seen, Stack, settled, stack

from tunesmith.errors import ServiceError
from tunesmith.network import peers
from tunesmith.settings import Settings
from tunesmith.ui.components import selection
from tunesmith.ui.server import api_path
from tunesmith.ui.visitor import session
from tunesmith.ui.visitor.visitors import Visitors, is_own, refuse_open_api

ID = "0123456789ab"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """API and page, open to the account that runs the tests."""
    with stack(tmp_path_factory.mktemp("server") / "stack", "api", "ui") as made:
        yield made


def ask(port: int, target: str) -> tuple[int, bytes]:
    """Status and body of a GET, its target sent as it is written."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_whose_a_connection_is_is_looked_up_beside_the_event_loop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_given", [settings])
    asked: list[threading.Thread] = []

    def is_theirs(*_: peers.Address) -> bool:
        asked.append(threading.current_thread())
        return False

    loops: list[threading.Thread] = []

    async def page(scope: Scope, _receive: Any, _send: Any) -> None:
        loops.append(threading.current_thread())
        assert not is_own(scope)

    monkeypatch.setattr("tunesmith.network.peers.is_own", is_theirs)
    claimed = (session.OWN.lower().encode(), b"yes")
    ends = {"client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8501)}
    scope = {"type": "http", "headers": [claimed], **ends}
    finish(Visitors(page)(scope, None, None))  # type: ignore[arg-type]
    assert len(asked) == 1
    assert asked[0] is not loops[0]


def test_a_download_is_an_adapter_or_a_file_of_one_experiment() -> None:
    assert api_path(f"experiments/{ID}/adapter") == f"/experiments/{ID}/adapter"
    assert (
        api_path(f"experiments/{ID}/files/artifacts/final model/中.txt")
        == f"/experiments/{ID}/files/artifacts/final%20model/%E4%B8%AD.txt"
    )
    assert api_path(f"experiments/{ID}/files/a?b#c") == f"/experiments/{ID}/files/a%3Fb%23c"


@pytest.mark.parametrize(
    "wanted",
    [
        "tokens", "audit", "experiments", f"experiments/{ID}", f"experiments/{ID}/logs",
        "experiments/../tokens", "experiments/\t../tokens", "experiments/./../tokens",
        f"experiments/{ID}/files/../../../tokens", f"experiments/{ID}/files/a/..",
        f"experiments/{ID}/files/.", f"experiments/{ID}/files//tokens", f"experiments/{ID}/files/",
        f"experiments/{ID}/files/..\\..\\tokens", f"experiments/{ID}/files/%2e%2e/%2e%2e/tokens",
        f"experiments/{ID}/files/\t../a", f"experiments/{ID}/files/a\n",
        f"experiments/{ID}/adapter/", f"/experiments/{ID}/adapter",
        f"experiments/{ID.upper()}/adapter",
        f"experiments/{ID}/files/a\x7f", "datasets/reviews/1/report", "http://127.0.0.1:8000/tokens",
        "@127.0.0.1/tokens", "",
    ],
)  # fmt: skip
def test_nothing_else_is_passed_on(wanted: str) -> None:
    assert api_path(wanted) is None


def test_no_spelling_of_a_download_leads_to_another_address_of_the_api(running: Stack) -> None:
    with running.store() as store:
        id_ = add_experiment(store, running.settings).id
    port = running.settings.ui_port
    for path in (
        "experiments/%09../tokens", "experiments/../tokens", "experiments/%2e%2e/tokens",
        "experiments/..%2ftokens", "experiments/%252e%252e/tokens", "experiments/..%5ctokens",
        f"experiments/{id_}/files/%09../%09../%09../tokens", f"experiments/{id_}/../../tokens",
        "/tokens", "tokens", "experiments/%0a../tokens", "experiments/.%09./tokens",
        f"experiments/{id_}%2f..%2f..%2ftokens", "datasets/../tokens", "experiments/?../tokens",
    ):  # fmt: skip
        status, body = ask(port, f"/download/{path}")
        assert status in (400, 404), path
        assert b"items" not in body
    status, body = ask(port, f"/download/experiments/{id_}/files/logs.txt")
    assert (status, body.endswith(b"line 3\n")) == (200, True)


@other_account
def test_another_account_that_opens_the_page_is_nobody_to_it(running: Stack, see: Seen) -> None:
    with running.store() as store:
        id_ = add_experiment(store, running.settings, "secret-of-ours").id
    port = running.settings.ui_port
    with relay_of_nobody("127.0.0.1", port) as relay:
        assert ask(relay, f"/download/experiments/{id_}/files/logs.txt")[0] == 401
        page = see(f"http://127.0.0.1:{relay}/experiments")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        settled(page)
        assert "secret-of-ours" not in page.content()
    page = see(f"http://127.0.0.1:{port}/experiments")
    expect(page.get_by_text("secret-of-ours").first).to_be_attached()


def test_what_a_browser_says_of_its_account_counts_nothing(running: Stack) -> None:
    with running.store() as store:
        id_ = add_experiment(store, running.settings).id
    target = f"/download/experiments/{id_}/files/logs.txt"
    forged = f"{target} HTTP/1.1\r\nForwarded: for=1.2.3.4\r\n{session.OWN}: yes\r\nX: "
    assert ask(running.settings.ui_port, forged)[0] == 401


def test_a_file_that_is_made_after_a_click_asks_nobody_who_visits(
    running: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running.store() as store:
        id_ = add_experiment(store, running.settings).id
    offered: list[Callable[[], bytes]] = []
    with monkeypatch.context() as page:
        page.setattr(st, "download_button", lambda _, data, **__: offered.append(data))
        page.setattr(session, "client", lambda: running.client)
        selection.bar([], {})
    with monkeypatch.context() as later:  # in a thread of Streamlit's, outside of the page's run
        later.setattr(session, "client", lambda: pytest.fail("there is no visitor"))
        assert id_.encode() in offered[0]()


@pytest.mark.parametrize(
    "given",
    [
        {"ui_host": "0.0.0.0"},
        {"ui_host": "192.168.1.5"},
        {"ui_url": "https://tunesmith.example.com"},
        {"ui_host": "0.0.0.0", "api_url": "http://localhost:8000"},
    ],
)
def test_a_public_page_does_not_start_over_an_open_api(given: dict[str, str]) -> None:
    known = Settings(_env_file=None).model_copy(update=given)
    before = session.settings()
    try:
        session.configure(known)
        with pytest.raises(ServiceError, match="TUNESMITH_REQUIRE_TOKENS"):
            refuse_open_api(known)
        for closed in ({"require_tokens": True}, {"api_url": "http://api:8000"}):
            changed = known.model_copy(update=closed)
            session.configure(changed)
            refuse_open_api(changed)
    finally:
        session.configure(before)
