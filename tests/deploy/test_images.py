"""The Dockerfile: what it copies, starts, asks and installs is there."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT, assert_is_command, tool

from image_digests import images, main
from image_requirements import EXTRAS, LEFT_OUT, name_of, requirements
from image_roots import ignored, stages
from services import MADE
from tunesmith.settings import Settings

STAGES = stages(ROOT / "Dockerfile")
SERVICES = ("api", "ui", "worker")


def steps(stage: str, word: str) -> list[str]:
    """The values of one instruction in a stage and in those that it starts from."""
    found: list[str] = []
    while stage in STAGES:
        stage, own = STAGES[stage]
        found = [value for name, value in own if name == word] + found
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    checked = tool("hadolint", "Dockerfile")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_base_is_pinned_to_a_version() -> None:
    bases = {start for start, _ in STAGES.values()} - STAGES.keys()
    assert len(bases) == 1
    tag = bases.pop().partition(":")[2]
    assert all(part.isdecimal() for part in tag.split("-")[0].split("."))
    assert tag.endswith("${PYTHON_DIGEST}")


def test_digests_of_images_are_noted_in_the_environment_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = tmp_path / ".env"
    env.write_text("API_PORT=8001\n")
    known = images()
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"docker\.io/\S+?:[\w.-]+", compose)) < set(known.values())
    assert main([], env) == 1
    assert "not pinned: REDIS_DIGEST" in capsys.readouterr().out
    digest = "@sha256:" + "0123456789abcdef" * 4
    assert main(["--write"], env, ask=lambda image: digest) == 0
    assert f"valkey:8.1-alpine{digest}" in capsys.readouterr().out
    assert env.read_text().startswith("API_PORT=8001\n")
    assert main(["--write"], env, ask=lambda image: "@sha256:short") == 2
    assert "64 hex digits" in capsys.readouterr().err


def test_compose_takes_a_digest_and_builds_on_one() -> None:
    digest = "@sha256:" + "0123456789abcdef" * 4
    noted = dict.fromkeys([*MADE, *images()], "secret") | dict.fromkeys(images(), digest)
    read = tool("docker-compose", "--profile", "*", "config", "--format", "json", **noted)
    assert read.returncode == 0, read.stderr
    services = json.loads(read.stdout)["services"]
    for name in ("postgres", "redis", "prometheus", "grafana"):
        assert services[name]["image"].endswith(digest), name
    for name in ("migrations", "api", "worker", "worker-gpu", "ui"):
        assert services[name]["build"]["args"]["PYTHON_DIGEST"] == digest, name


def test_what_is_copied_is_there_and_let_through() -> None:
    copied = [shlex.split(value) for name in STAGES for value in steps(name, "COPY")]
    for words in copied:
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in STAGES
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert not ignored(source, ROOT / ".dockerignore"), source
    assert ignored(".env", ROOT / ".dockerignore")
    assert ignored("secrets", ROOT / ".dockerignore")
    assert ignored("results", ROOT / ".dockerignore")


def test_dependencies_are_installed_before_the_source_is_there() -> None:
    for name in SERVICES:
        _, own = STAGES[f"{name}-packages"]
        source = next(n for n, (_, value) in enumerate(own) if "--from=source" in value)
        installs = [n for n, (_, value) in enumerate(own) if "pip install" in value]
        assert [n for n in installs if n > source] == installs[-1:], name


def test_packages_are_installed_by_their_hashes() -> None:
    own = [value for _, found in STAGES.values() for word, value in found if word == "RUN"]
    installs = [line for value in own for line in re.split(r"&&|;", value) if " install " in line]
    installs = [line for line in installs if "pip" in line]
    unchecked = [line for line in installs if "--require-hashes" not in line]
    assert len(installs) >= 2 * len(SERVICES) + 3
    for line in unchecked:  # our own wheel, and PyTorch, whose file depends on the build
        assert line.split()[-1] in {"/wheel/*.whl", "torch.txt"}, line


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_runs_a_command_as_nobody_in_particular(name: str) -> None:
    assert json.loads(steps(name, "ENTRYPOINT")[-1]) == ["tunesmith"]
    assert_is_command(json.loads(steps(name, "CMD")[-1]))
    user, _, group = steps(name, "USER")[-1].partition(":")
    assert int(user) > 0
    assert group == "0"
    assert f"--uid {user} " in " ".join(steps(name, "RUN"))


@pytest.mark.parametrize("name", SERVICES)
def test_ports_and_places_are_those_of_the_settings(name: str) -> None:
    defaults = {str(f.validation_alias): f.default for f in Settings.model_fields.values()}
    port = {"api": "API_PORT", "ui": "UI_PORT"}.get(name)
    assert steps(name, "EXPOSE") == ([str(defaults[port])] if port else [])
    volumes = json.loads(steps(name, "VOLUME")[-1])
    for variables in steps(name, "ENV"):
        for variable, value in (part.split("=", 1) for part in shlex.split(variables)):
            if variable.startswith("TUNESMITH_"):
                assert variable in defaults
            if variable.endswith(("_DIR", "HF_HOME")):
                assert any(value.startswith(volume) for volume in volumes), variable


def test_health_checks_ask_what_the_services_answer() -> None:
    asked = {
        name: json.loads(steps(name, "HEALTHCHECK")[-1].partition("CMD")[2]) for name in SERVICES
    }
    health = (ROOT / "src/tunesmith/api/routes/health.py").read_text(encoding="utf-8")
    page = (ROOT / "src/tunesmith/ui/server.py").read_text(encoding="utf-8")
    assert asked["api"][1:4] == ["/opt/answers.py", "API_PORT", "8000"]
    assert f'"{asked["api"][4]}"' in health
    assert asked["ui"][1:4] == ["/opt/answers.py", "UI_PORT", "8501"]
    assert f'Route("{asked["ui"][4]}"' in page
    assert_is_command(asked["worker"][1:])


def test_an_image_leaves_out_only_what_it_is_said_to() -> None:
    everything = {name_of(line) for line in requirements("worker")} | LEFT_OUT["worker"]
    assert set(EXTRAS) == set(LEFT_OUT) == set(SERVICES)
    for name in SERVICES:
        assert LEFT_OUT[name] <= everything, name
    assert {"torch", "peft", "accelerate"} <= LEFT_OUT["api"] & LEFT_OUT["ui"]
    assert any(fnmatch(line, "psycopg*") for line in requirements("api"))
