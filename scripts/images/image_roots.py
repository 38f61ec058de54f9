"""Folders in which the stages of a Dockerfile are built, without a Docker engine."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = "ca-certificates,python3,python3-venv"
"""What a bare Debian needs to stand for an image of Python."""

RELEASE = "bookworm"

NETWORK = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/pip.conf",
    "/etc/xdg/pip",
    "/etc/ssl/certs/ca-certificates.crt",
)
"""Files of the machine by which names and packages are found."""


class ProofError(Exception):
    """Raised when a step of the Dockerfile, or a service, doesn't do what it should."""


@dataclass(frozen=True)
class Stage:
    """A stage as it is after its last step."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    volumes: tuple[str, ...] = ()


class Machine:
    """What this machine gives: a bare Debian, and the way to packages."""

    def __init__(self, base: Path | None, binds: list[Path]) -> None:
        self._base = base
        self._binds = [*binds, *_folders_of_packages()]

    def bare(self, folder: Path) -> Path:
        """A bare Debian with Python, made once."""
        if self._base is not None:
            return self._base
        made = folder / "debian"
        if not (made / "usr" / "bin" / "python3").exists():
            say("debootstrap")
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE]
            mirror = subprocess.run(
                ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
                capture_output=True, text=True, check=False,
            ).stdout.split()  # fmt: skip
            subprocess.run(
                [*command, str(made), *mirror[:1]], check=True, stdout=subprocess.DEVNULL
            )
        return made

    def run(self, stage: Stage, script: str, more: dict[str, str]) -> None:
        """Run a shell script in a stage's root. Raises ProofError when it fails."""
        lines = ["set -e", f"mount -t proc proc {quote(stage.root)}/proc"]
        for name in NETWORK:
            if Path(name).exists():
                lines += show(Path(name), stage.root)
        for folder in self._binds:
            lines += show(folder, stage.root)
        chroot = ["chroot", str(stage.root), "sh", "-c", f"cd {quote(stage.workdir)}; {script}"]
        lines.append(f"exec {shlex.join(chroot)}")
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", "\n".join(lines)],
            env={"PATH": os.environ["PATH"], **pip, **more, **stage.env},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise ProofError(f"exit code {done.returncode} from RUN {script}")


def _folders_of_packages() -> list[Path]:
    """The folders of this machine in which pip, as it is set up here, looks for packages."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = {
        Path(word.strip("'\""))
        for line in listed.splitlines()
        if "find-links" in line.partition("=")[0]
        for word in line.partition("=")[2].split()
    }
    return sorted(path for path in found if path.is_absolute() and path.is_dir())


class Builder:
    """Builds stages of a Dockerfile as folders; each once."""

    def __init__(
        self, dockerfile: Path, folder: Path, machine: Machine, arguments: dict[str, str]
    ) -> None:
        self.folder = folder
        self.machine = machine
        self.arguments = arguments
        self.context = dockerfile.parent
        self.steps = stages(dockerfile)
        self.built: dict[str, Stage] = {}

    def build(self, name: str) -> Stage:
        """The stage called `name`, with all that it is made from."""
        if name in self.built:
            return self.built[name]
        start, steps = self.steps[name]
        if start in self.steps:
            before = self.build(start)
        else:
            before = Stage(
                self.machine.bare(self.folder),
                {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
            )
        root = self.folder / f"stage-{name}"
        subprocess.run(["cp", "-a", "--reflink=auto", before.root, root], check=True)
        stage = replace(before, root=root, env=dict(before.env))
        arguments: dict[str, str] = {}
        for word, value in steps:
            say(f"{name}: {word} {' '.join(value.split())}"[:150])
            stage = self._step(stage, word, value, arguments)
        self.built[name] = stage
        return stage

    def _step(self, stage: Stage, word: str, value: str, arguments: dict[str, str]) -> Stage:
        match word:
            case "ARG":
                name, _, default = value.partition("=")
                arguments[name] = self.arguments.get(name, default)
            case "ENV":
                new = dict(part.split("=", 1) for part in shlex.split(value))
                path = stage.env.get("PATH", "")
                return replace(
                    stage, env=stage.env | {k: v.replace("$PATH", path) for k, v in new.items()}
                )
            case "RUN":
                self.machine.run(stage, value, arguments)
            case "COPY":
                self._copy(stage, shlex.split(value))
            case "WORKDIR":
                inside(stage.root, value).mkdir(parents=True, exist_ok=True)
                return replace(stage, workdir=value)
            case "USER":
                return replace(stage, user=value)
            case "EXPOSE":
                return replace(stage, ports=(*stage.ports, int(value)))
            case "VOLUME":
                return replace(stage, volumes=tuple(json.loads(value)))
            case "ENTRYPOINT":
                return replace(stage, entrypoint=tuple(json.loads(value)))
            case "CMD":
                return replace(stage, command=tuple(json.loads(value)))
            case "HEALTHCHECK":
                return replace(stage, health=tuple(json.loads(value.partition("CMD")[2])))
            case "STOPSIGNAL" | "COMMENT":
                pass
            case _:
                raise ProofError(f"{word}: an instruction that is not carried out here")
        return stage

    def _copy(self, stage: Stage, words: list[str]) -> None:
        """COPY, from the context or another stage."""
        start = self.context
        if words[0].startswith("--from="):
            start = self.build(words.pop(0).removeprefix("--from=")).root
        *sources, target = words
        place = inside(stage.root, str(Path(stage.workdir, target)))
        for source in sources:
            found = inside(start, source) if start != self.context else start / source
            if start == self.context and ignored(source, self.context / ".dockerignore"):
                raise ProofError(f"COPY {source}: .dockerignore keeps it out")
            if found.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                shutil.copytree(
                    found, place, symlinks=True, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__") if start == self.context else None,
                )  # fmt: skip
            elif target.endswith("/") or len(sources) > 1:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, place)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, place)


def stages(dockerfile: Path) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Stage → what it starts from, and its steps."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    steps: list[tuple[str, str]] = []
    for item in DockerfileParser(str(dockerfile)).structure:
        word, value = item["instruction"], item["value"]
        if word == "FROM":
            start, _, name = value.partition(" AS ")
            steps = []
            found[name or start] = (start, steps)
        elif word != "COMMENT":
            steps.append((word, value))
    return found


def ignored(source: str, rules: Path) -> bool:
    """Whether `.dockerignore` keeps a file or folder out, by the first part of its path."""
    out = False
    first = Path(source).parts[0]
    for line in rules.read_text(encoding="utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        if fnmatch(first, rule.removeprefix("!")):
            out = not rule.startswith("!")
    return out


def inside(root: Path, path: str) -> Path:
    """A path of a root, as a path of this machine."""
    return root / path.lstrip("/")


def show(path: Path, root: Path) -> list[str]:
    """Shell commands that show a file or folder of the machine at the same place in a root."""
    place = inside(root, str(path))
    make = (
        f"mkdir -p {quote(place)}"
        if path.is_dir()
        else (f"mkdir -p {quote(place.parent)}; [ -e {quote(place)} ] || : >{quote(place)}")
    )
    return [make, f"mount --bind -o ro {quote(path.resolve())} {quote(place)}"]


def quote(path: Path | str) -> str:
    return shlex.quote(str(path))


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
