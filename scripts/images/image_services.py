"""Services started from the roots of their images as containers would be, and asked for health."""

import json
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from image_roots import ProofError, Stage, inside, quote, say

PATIENCE = 180.0
"""Seconds until a service must answer."""

STOP_PATIENCE = 90.0
"""Seconds that a service gets to stop, as in docker-compose.yml."""

ROOMS = {"api": "tunesmith.api", "ui": "tunesmith.ui", "worker": "tunesmith.training"}
"""Service → the package of which every module must be there to be loaded later on."""

IMPORT_ALL = """
import importlib, pkgutil, sys
room = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if found.name != "tunesmith.ui.app":  # a script that draws
        importlib.import_module(found.name)
"""


def prove(roots: Mapping[str, Stage], folder: Path) -> None:
    """Start the services, each in its root, and have each answer its health check.

    Raises ProofError for the first that doesn't.
    """
    shared = folder / "volumes"
    environment = {
        "API_PORT": str(free_port()),
        "UI_PORT": str(free_port()),
        "REDIS_PORT": str(free_port()),  # nothing is there, and all works without
        "OMP_NUM_THREADS": "1",
    }
    environment["TUNESMITH_API_URL"] = f"http://127.0.0.1:{environment['API_PORT']}"
    containers = {
        name: Container(name, stage, shared, environment) for name, stage in roots.items()
    }
    with ExitStack() as running:
        if "api" in containers:
            containers["api"].token()
        for name, container in containers.items():
            running.callback(container.stop)
            container.start()
            seconds = container.answers()
            size = subprocess.run(
                ["du", "-sm", container.stage.root], capture_output=True, text=True, check=True
            ).stdout.split()[0]
            if container.call("python3", "-c", IMPORT_ALL, ROOMS[name], quiet=False).returncode:
                raise ProofError(f"{name}: a module of {ROOMS[name]} can't be imported")
            torch = container.call("python3", "-c", "import torch").returncode == 0
            if torch != (name == "worker"):
                raise ProofError(f"{name}: PyTorch is {'there' if torch else 'missing'}")
            written = container.call("sh", "-c", ": >/written").returncode == 0
            if written:
                raise ProofError(f"{name}: the root can be written")
            with_torch = "with" if torch else "without"
            say(f"{name}: healthy after {seconds:.0f} s; {size} MB, {with_torch} PyTorch")


class Container:
    """A service in the root of its image: read-only, but for its volumes and /tmp."""

    def __init__(
        self, name: str, stage: Stage, shared: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.stage = stage
        self.env = {**stage.env, **environment}
        self.shared = shared
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start ENTRYPOINT and CMD as USER."""
        self._process = subprocess.Popen(
            self._command(*self.stage.entrypoint, *self.stage.command),
            env=self.env,
            stdin=subprocess.DEVNULL,
        )

    def call(
        self, *words: str, text: str | None = None, quiet: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command beside the service."""
        return subprocess.run(
            self._command(*words),
            env=self.env,
            input=(text or "").encode(),
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )

    def token(self) -> None:
        """Record an admin's token, without which the API doesn't start."""
        token = f"ts_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
        words = ("tunesmith", "tokens", "create", "admin", "--role", "admin", "--from", "-")
        for _ in range(2):  # as at every start of the services
            if self.call(*words, text=token, quiet=False).returncode:
                raise ProofError("the token could not be recorded")

    def answers(self) -> float:
        """Ask the health check until it succeeds; returns the seconds until then."""
        assert self._process is not None
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            if self._process.poll() is not None:
                raise ProofError(f"{self.name} ended with exit code {self._process.returncode}")
            if self.call(*self.stage.health).returncode == 0:
                return time.monotonic() - begun
            time.sleep(1)
        self.call(*self.stage.health, quiet=False)
        raise ProofError(f"{self.name} never answered: {json.dumps(self.stage.health)}")

    def stop(self) -> None:
        """Stop it as Docker does; raises ProofError when it must be killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise ProofError(f"{self.name} did not stop within {STOP_PATIENCE:.0f} s") from None
        say(f"{self.name}: stopped with exit code {code}")

    def _command(self, *words: str) -> list[str]:
        """The command line that runs `words` in the root as its user."""
        root = self.stage.root
        lines = ["set -e", f"mount --bind {quote(root)} {quote(root)}"]
        for volume in self.stage.volumes:
            place = self.shared / volume.strip("/").replace("/", "-")
            if not place.exists():  # a new volume begins with what the image has there
                place.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-a", inside(root, volume), place], check=True)
            lines.append(f"mount --bind {quote(place)} {quote(inside(root, volume))}")
        lines.append(f"mount -t proc proc {quote(root)}/proc")
        lines.append(f"mount -o remount,bind,ro {quote(root)}")
        lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {quote(root)}/tmp")
        lines.append(
            f"exec chroot --userspec={quote(self.stage.user)} {quote(root)} "
            f'env --chdir={quote(self.stage.workdir)} "$@"'
        )
        unshare = shutil.which("unshare") or "unshare"
        return [unshare, "--mount", "/bin/sh", "-c", "\n".join(lines), "sh", *words]


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
