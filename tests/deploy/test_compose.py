"""docker-compose.yml as Compose itself reads it, and the targets that start it."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.conftest import ROOT, SETTINGS, assert_is_command, tool
from tests.deploy.test_images import steps

from services import MADE, make_secrets
from tunesmith.api.access.tokens import token_prefix
from tunesmith.settings import Settings


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compose") / "secrets" / "services.env"
    make_secrets(path)
    return path


@pytest.fixture(scope="module")
def services(secrets_file: Path) -> dict[str, Any]:
    """The services as Compose understands them, those of the profiles too."""
    command = ("--env-file", str(secrets_file), "--profile", "*", "config", "--format", "json")
    read = tool("docker-compose", *command, API_PORT="8123")
    assert read.returncode == 0, read.stderr
    found: dict[str, Any] = json.loads(read.stdout)["services"]
    return found


def test_compose_accepts_the_file_and_ports_come_from_the_environment(
    services: dict[str, Any],
) -> None:
    (port,) = services["api"]["ports"]
    assert port["published"] == "8123"
    assert port["host_ip"] == "127.0.0.1"
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert services["grafana"]["profiles"] == ["monitoring"]


def test_without_secrets_compose_says_what_makes_them() -> None:
    empty = dict.fromkeys(MADE, "")
    read = tool("docker-compose", "config", "--quiet", **empty)
    assert read.returncode != 0
    assert "make start-services" in read.stderr


def test_our_services_are_read_only_and_what_they_run_and_are_told_exists(
    services: dict[str, Any],
) -> None:
    for name in ("migrations", "api", "worker", "worker-gpu", "ui"):
        service = services[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["environment"].keys() <= SETTINGS, name
        volumes = [volume["target"] for volume in service.get("volumes", ())]
        target = service["build"]["target"]
        assert set(volumes) <= set(json.loads(steps(target, "VOLUME")[-1])), name
        if name != "migrations":
            assert_is_command(service["command"] or [target])
    for words in re.findall(r"tunesmith (.*)", services["migrations"]["command"][0]):
        assert_is_command(words.split())


def test_no_service_takes_all_the_memory_of_the_machine(services: dict[str, Any]) -> None:
    limits = {name: int(service.get("mem_limit", 0)) for name, service in services.items()}
    assert all(0 < limit <= 64 << 30 for limit in limits.values()), limits
    temporary = 2 << 30  # /tmp counts too
    assert all(limits[name] >= temporary for name in ("api", "worker", "ui"))


def test_a_worker_gets_the_time_that_its_trainings_need(services: dict[str, Any]) -> None:
    grace = Settings.model_fields["cancel_grace_seconds"].default
    assert services["worker"]["stop_grace_period"] == "1m30s"
    assert grace + 15 < 90


def test_files_that_are_mounted_are_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), volume


def test_addresses_with_the_secrets_are_ones_that_the_settings_take(
    services: dict[str, Any],
) -> None:
    environment = services["api"]["environment"]
    settings = Settings(
        _env_file=None,
        TUNESMITH_DATABASE_URL=environment["TUNESMITH_DATABASE_URL"],
        REDIS_URL=environment["REDIS_URL"],
    )
    assert settings.store_url.startswith("postgresql://tunesmith:")


def test_secrets_are_made_once_for_their_owner_alone_and_never_written_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secrets" / "services.env"
    assert make_secrets(path) == list(MADE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = path.read_text(encoding="utf-8")
    assert make_secrets(path) == []
    assert path.read_text(encoding="utf-8") == before
    values = dict(line.split("=", 1) for line in before.splitlines())
    assert token_prefix(values["TUNESMITH_ADMIN_TOKEN"]) is not None
    path.write_text("REDIS_PASSWORD=chosen\n", encoding="utf-8")
    assert "REDIS_PASSWORD" not in make_secrets(path)
    assert path.read_text(encoding="utf-8").startswith("REDIS_PASSWORD=chosen\n")
    ignored = subprocess.run(["git", "check-ignore", "-q", "secrets/services.env"], cwd=ROOT)
    assert ignored.returncode == 0


SERVICES = ("start", "stop", "restart", "logs")
CLUSTER = ("quick-deploy", "port-forward", "dashboard", "status", "logs", "cleanup")


@pytest.mark.parametrize(
    ("target", "named"),
    [
        *((f"{word}-services", "docs.docker.com") for word in SERVICES),
        *((f"k8s-{word}", "kubernetes.io") for word in CLUSTER),
        ("k8s-scale", "replicas=3"),
    ],
)
def test_a_target_says_what_this_machine_lacks(target: str, named: str, tmp_path: Path) -> None:
    for name in ("bash", "env", "make", "sh", "dirname", "ls", "xargs", "awk"):
        found = shutil.which(name)
        assert found is not None, name
        (tmp_path / name).symlink_to(found)
    (tmp_path / "python3").symlink_to(Path(sys.executable).resolve())
    said = subprocess.run(
        ["make", "--no-print-directory", target],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert named in said.stderr
    assert "Traceback" not in said.stderr
