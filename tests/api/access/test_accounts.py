"""On this machine's own address: the account that started the API, other accounts, and proxies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.accounts import nobody, other_account, relay_of_nobody, run_as_nobody
from tests.api.serving import Api, add_experiment, serving
from tests.api.test_train import problem

from tunesmith.network import peers
from tunesmith.network.local_token import LocalToken
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings

CURL = shutil.which("curl") or "curl"

TRAIN = json.dumps(
    {
        "experiment_name": "reviews",
        "task": {"name": "text-classification"},
        "model": {"name": "some/model"},
        "data": {"dataset_name": "some/reviews"},
    }
)


def lines(port: int, id_: str) -> list[list[str]]:
    """The REST calls that the README promises, as curl is given them."""
    api = f"http://localhost:{port}"
    return [
        [f"{api}/train", "-H", "Content-Type: application/json", "-d", TRAIN],
        [f"{api}/task/{id_}"],
        [f"{api}/experiments?min_accuracy=0.8&sort_by=eval_accuracy&desc=true"],
        [f"{api}/experiments/{id_}"],
        [f"{api}/experiments/stats"],
        [f"{api}/tokens"],
    ]


def status(said: str) -> str:
    return said.rsplit("\n", 1)[-1]


@other_account
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_lines_work_for_who_started_the_api_and_for_no_other_account(api: Api) -> None:
    id_ = add_experiment(api.store, api.settings).id
    flags = [CURL, "-s", "-m", "30", "-w", "\n%{http_code}"]
    for line in lines(api.port, id_):
        own = subprocess.run([*flags, *line], capture_output=True, text=True, check=True).stdout
        assert status(own) in ("200", "202"), own
        said = run_as_nobody(*flags, *line)
        assert status(said) == "401", said
        assert "tunesmith tokens create" in said
        if "-d" in line:
            assert api.store.count() == 2
    token = ["-H", f"Authorization: Bearer {api.token('vera', Role.VIEWER)}"]
    assert status(run_as_nobody(*flags, *token, lines(api.port, id_)[3][0])) == "200"
    assert api.store.count() == 2


@other_account
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_another_account_is_refused_over_either_protocol(settings: Settings, host: str) -> None:
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with serving(settings, host=host) as api, relay_of_nobody(host, api.port) as port:
        shown = f"[{host}]" if ":" in host else host
        assert api.get(f"http://{shown}:{api.port}/whoami").status_code == 200
        problem(api.get(f"http://127.0.0.1:{port}/whoami"), 401)


def test_a_connection_whose_program_is_gone_is_nobodys(tmp_path: Path) -> None:
    """The system shows such sockets as root's: so root's API would let in who closed them."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = (
        "   0: 0100007F:C350 0100007F:1F40 {state} 00000000:00000000 00:00000000 00000000  {uid}"
        "        0 {inode} 1 0\n"
    )
    own = os.geteuid()
    ends = (("127.0.0.1", 50000), ("127.0.0.1", 8000))
    table = tmp_path / "tcp"
    for state, uid, inode, expected in (
        ("01", own, 77, own),
        ("06", 0, 0, None),
        ("05", own, 0, None),
        ("01", own + 1, 77, own + 1),
    ):
        table.write_text(head + row.format(state=state, uid=uid, inode=inode))
        assert peers.owner(*ends, tables=(table,)) == expected, state
    assert peers.owner(ends[1], ends[0], tables=(table,)) is None
    mapped = row.replace("0100007F", "0000000000000000FFFF00000100007F")
    table.write_text(head + mapped.format(state="01", uid=own, inode=77))
    assert peers.owner(*ends, tables=(table,)) == own
    six = row.replace("0100007F", "00000000000000000000000001000000")
    table.write_text(head + six.format(state="01", uid=own, inode=77))
    assert peers.owner(*ends, tables=(table,)) is None
    assert peers.owner(("::1", 50000), ("::1", 8000), tables=(table,)) == own


def test_whose_a_connection_is_is_asked_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[peers.Address] = []

    def is_own(client: peers.Address, _: peers.Address) -> bool:
        asked.append(client)
        return len(asked) == 1

    monkeypatch.setattr("tunesmith.network.peers.is_own", is_own)
    for _ in range(3):
        assert api.get("/whoami").status_code == 200
    assert len(asked) == 1
    assert api.as_(None).get("/whoami").status_code == 401, "another connection is somebody else's"
    assert len(asked) == 2


def test_where_the_system_lists_no_owners_our_own_processes_are_asked() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        ends = client.getsockname(), listener.getsockname()
        assert peers.held_by_own_process(*ends)
        assert not peers.held_by_own_process(("127.0.0.1", ends[0][1] + 1), ends[1])


@other_account
def test_what_another_account_holds_is_not_found_among_our_own_processes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = listener.getsockname()
        with (
            relay_of_nobody("127.0.0.1", server[1]) as port,
            socket.create_connection(("127.0.0.1", port)),
        ):
            accepted, client = listener.accept()
            with accepted:
                assert not peers.held_by_own_process(client, server)
                assert peers.owner(client, server) == nobody()


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "X-Forwarded-Host"]
)
def test_what_a_proxy_of_ours_passes_on_is_not_our_own_request(api: Api, header: str) -> None:
    problem(api.get("/whoami", headers={header: "127.0.0.1"}), 401)


def test_who_says_to_come_from_elsewhere_counts_where_they_are(guarded: Api) -> None:
    client = guarded.as_(None)
    guesses = [
        client.get(
            "/whoami",
            headers={
                "Authorization": f"Bearer ts_00000000_{n:043}",
                "X-Forwarded-For": f"198.51.100.{n}",
            },
        ).status_code
        for n in range(12)
    ]
    assert guesses == [401] * 10 + [429] * 2
    guarded.post("/queue/cpu/pause", headers={"X-Forwarded-For": "198.51.100.1"})
    assert guarded.get("/audit").json()["items"][0]["address"] == "127.0.0.1"


def test_a_proxy_that_the_settings_name_is_believed(settings: Settings) -> None:
    named = settings.model_copy(update={"trusted_proxies": "127.0.0.0/8"})
    with serving(named) as api:
        problem(api.get("/whoami", headers={"X-Forwarded-For": "127.0.0.1"}), 401)
        token = api.token("root", Role.ADMIN)
        client = api.as_(token)
        client.post("/queue/cpu/pause", headers={"X-Forwarded-For": "198.51.100.1"})
        assert client.get("/audit").json()["items"][0]["address"] == "198.51.100.1"
        wrong = {"X-Forwarded-For": "198.51.100.2"}
        for n in range(102):
            token = f"ts_{n:08x}_{n:043}"
            api.get("/whoami", headers={"Authorization": f"Bearer {token}", **wrong})
        late = {"Authorization": "Bearer ts_ffffffff_" + "x" * 43}
        assert api.get("/whoami", headers=late | wrong).status_code == 429
        assert api.get("/whoami", headers=late).status_code == 401


def test_a_local_token_is_this_accounts_alone_new_at_each_start_and_no_proxys(
    settings: Settings,
) -> None:
    with serving(settings) as api:
        kept = LocalToken(settings)
        first = kept.read()
        assert first is not None
        assert kept.path.stat().st_mode & 0o777 == 0o600
        assert api.as_(first).get("/whoami").json()["via"] == "local"
        problem(api.as_(first).get("/whoami", headers={"Forwarded": "for=_visitor"}), 401)
        problem(api.as_(first[:-1]).get("/whoami"), 401)
    with serving(settings) as api:
        assert kept.read() != first
        problem(api.as_(first).get("/whoami"), 401)
    with serving(settings.model_copy(update={"require_tokens": False})) as api:
        assert api.get("/whoami").status_code == 200


def test_half_a_head_is_given_up_and_others_are_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.api.server.HEAD_SECONDS", 0.5)
    with serving(settings) as api:
        held = [socket.create_connection(("127.0.0.1", api.port), timeout=20) for _ in range(3)]
        held[1].sendall(b"GET /health/live HTTP/1.1\r\nHost: localh")
        held[2].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health/li")
        begun = time.monotonic()
        assert api.get("/health/live").status_code == 200
        assert held[1].recv(100).startswith(b"HTTP/1.1 408")
        for slow in held:
            while slow.recv(4096):
                pass
            slow.close()
        assert time.monotonic() - begun < 15
