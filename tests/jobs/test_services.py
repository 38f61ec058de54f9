"""`tunesmith up` and `down` as they are used: in one go, in the background, killed, in the way."""

from __future__ import annotations

import platform
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from tests.jobs.conftest import Queue, Start, eventually

from tunesmith.jobs.broker import EmbeddedBroker, broker_is_live, broker_trouble
from tunesmith.jobs.processes import ProcessIdentity
from tunesmith.jobs.queue import send_once
from tunesmith.jobs.services.running import Running
from tunesmith.jobs.services.starting import api_answers
from tunesmith.settings import Settings
from tunesmith.store.store import Store


def running(settings: Settings) -> Running:
    """What runs, once the API answers."""
    eventually(lambda: api_answers(settings))
    found = Running.read(settings)
    assert found is not None
    return found


def all_ended(services: Running) -> bool:
    return not any(one.find() for one in (services.supervisor, *services.services.values()))


def run_to_end(start: Start, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    before = set(tmp_path.glob("*.txt"))
    code = start(*arguments).wait(200)
    (output,) = set(tmp_path.glob("*.txt")) - before
    return code, output.read_text()


@pytest.fixture(autouse=True)
def nothing_is_left(settings: Settings, start: Start, tmp_path: Path) -> Iterator[None]:
    """End what a failed test left."""
    yield
    if Running.read(settings) is not None:
        run_to_end(start, tmp_path, "down")


def test_one_command_starts_everything_and_ctrl_c_ends_it_all(
    settings: Settings, start: Start, store: Store, queue: Queue, tmp_path: Path
) -> None:
    up = start("up")
    services = running(settings)
    assert set(services.services) == {"broker", "api", "worker", "ui"}
    assert services.addresses["api"] == f"http://127.0.0.1:{settings.api_port}"
    assert broker_is_live(settings.broker_url)
    open_to_all = f"redis://127.0.0.1:{settings.redis_port}/0"
    assert "wants another password" in str(broker_trouble(open_to_all))
    assert settings.broker_password_file.stat().st_mode & 0o777 == 0o600
    for name in services.services:
        process = services.services[name].find()
        assert process is not None
        assert settings.broker_password not in " ".join(process.cmdline())
    experiment = queue(training={"num_train_epochs": 1})
    assert eventually(lambda: store.get(experiment.id).status == "succeeded")
    code, said = run_to_end(start, tmp_path, "up")
    assert code == 0
    assert "run already" in said
    assert services.addresses["api"] in said
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert all_ended(services)
    assert not broker_is_live(settings.broker_url)
    assert not settings.broker_password_file.exists()
    printed = (tmp_path / "up-0.txt").read_text()
    assert f"http://127.0.0.1:{settings.api_port}/docs" in printed
    assert "worker |" in printed
    assert "Traceback" not in printed
    assert "took reviews" in (settings.results_dir / ".tunesmith" / "worker.log").read_text()


def test_in_the_background_it_runs_until_down(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    code, said = run_to_end(start, tmp_path, "up", "--detach")
    assert code == 0, said
    assert api_answers(settings)
    assert f":{settings.api_port}" in said
    services = running(settings)
    logs = settings.results_dir / ".tunesmith"
    assert "worker" in (logs / "worker.log").read_text()
    assert "worker |" not in (logs / "up.log").read_text(), "it would grow for ever"
    code, said = run_to_end(start, tmp_path, "down")
    assert code == 0
    assert said.splitlines()[-1] == "Stopped."
    assert "saves a checkpoint first, for at most" in said
    assert all_ended(services)
    assert run_to_end(start, tmp_path, "down") == (0, "Nothing runs.\n")


def test_ctrl_c_while_it_starts_in_the_background_leaves_nothing_behind(
    settings: Settings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without its store the API is started again and again, and is never ready.
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    up = start("up", "--detach")
    services = eventually(lambda: Running.read(settings))
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130
    assert all_ended(services)
    assert Running.read(settings) is None


@pytest.mark.slow
def test_what_dies_is_started_again(settings: Settings, start: Start) -> None:
    start("up")
    first = running(settings)
    for service in ("broker", "api", "worker", "ui"):
        process = first.services[service].find()
        assert process is not None
        process.kill()

    def revived() -> bool:
        now = Running.read(settings)
        return now is not None and all(
            name in now.services and now.services[name] != old and now.services[name].find()
            for name, old in first.services.items()
        )

    assert eventually(revived)
    assert eventually(lambda: api_answers(settings))
    assert broker_is_live(settings.broker_url)


@pytest.mark.slow
def test_when_the_command_is_killed_its_services_end_or_are_found_by_the_next(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    up = start("up")
    services = running(settings)
    up.kill()
    up.wait()
    children = [services.services[name] for name in ("api", "worker")]
    assert eventually(lambda: not any(child.find() for child in children))
    assert services.services["broker"].find(), "it can't see that its parent is gone"
    code, said = run_to_end(start, tmp_path, "up", "--detach")
    assert code == 0, said
    assert services.services["broker"].find() is None
    assert broker_is_live(settings.broker_url)


@pytest.mark.slow
def test_a_broker_that_is_there_is_used_and_left_alone(
    settings: Settings, broker: EmbeddedBroker, start: Start
) -> None:
    up = start("up")
    assert "broker" not in running(settings).services
    up.send_signal(signal.SIGTERM)
    assert up.wait(60) == 0
    assert broker.is_running()


@pytest.mark.parametrize("variable", ["API_PORT", "REDIS_PORT"])
def test_a_taken_port_is_said_and_nothing_stays_behind(
    variable: str, settings: Settings, start: Start, tmp_path: Path
) -> None:
    port = settings.api_port if variable == "API_PORT" else settings.redis_port
    with socket.create_server(("127.0.0.1", port)):
        for arguments in (["up"], ["up", "--detach"]):
            code, said = run_to_end(start, tmp_path, *arguments)
            assert code == 1
            assert f"port {port}" in said
            assert "(pid " in said
            assert f"{variable}=" in said
            assert "Traceback" not in said
    assert Running.read(settings) is None
    if variable == "API_PORT":
        assert not broker_is_live(settings.broker_url)


def test_an_address_that_needs_tokens_ends_it_with_what_the_api_says(
    settings: Settings, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_API_HOST", "0.0.0.0")
    code, said = run_to_end(start, tmp_path, "up")
    assert code != 0
    assert "token" in said
    assert "Traceback" not in said
    assert Running.read(settings) is None


def test_a_number_that_another_process_has_now_is_never_ended(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    settings.results_dir.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "100"]) as other:
        this = ProcessIdentity.of(other.pid)
        assert this is not None
        older = ProcessIdentity(this.pid, this.started - 1000)
        Running(platform.node(), older, {"api": older}).write(settings)
        assert run_to_end(start, tmp_path, "down") == (0, "Nothing runs.\n")
        assert other.poll() is None
        other.kill()


def test_services_of_another_machine_are_stopped_there(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    this = ProcessIdentity.of(1)
    assert this is not None
    here = platform.node()
    for running in (Running("elsewhere", this), Running(here, this, machine="0123456789abcdef")):
        running.write(settings)
        code, said = run_to_end(start, tmp_path, "down")
        assert code == 1
        assert f"started on {running.host}" in said
    Running.forget(settings)


def test_a_shared_broker_carries_nothing_of_ours_that_others_could_mistake(
    settings: Settings, broker: EmbeddedBroker
) -> None:
    assert send_once(settings, "cpu")
    with Redis.from_url(broker.url) as client:
        (queued,) = [key for key in client.keys("*") if client.type(key) == b"list"]
        assert queued == b"tunesmith.cpu"
        (message,) = client.lrange(queued, 0, -1)
    assert b'"args"' not in message
    assert b"application/json" in message
