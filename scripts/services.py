"""The services in containers: `make start-services` and its like, through Docker Compose.

The first start makes passwords and tokens, in secrets/services.env (mode 0600, in a folder of mode
0700); what is there is never written over. Standard library only.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECRETS = ROOT / "secrets" / "services.env"
MISSING = 2
"""Exit code where this machine lacks something, which the message names."""


def password() -> str:
    """A new password that needs no escaping in an address."""
    return secrets.token_urlsafe(24)


def token() -> str:
    """A new access token, in the form that `tunesmith tokens` makes them in."""
    return f"ts_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


MADE: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": password,
    "REDIS_PASSWORD": password,
    "GRAFANA_PASSWORD": password,
    "TUNESMITH_ADMIN_TOKEN": token,
    "TUNESMITH_METRICS_TOKEN": token,
}
"""Secret → how it is made."""


def make_secrets(path: Path = SECRETS) -> list[str]:
    """See to it that the file of secrets has all of them; returns the names of those made now."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    there = {line.partition("=")[0] for line in text.splitlines()}
    new = [name for name in MADE if name not in there]
    if new:
        if text and not text.endswith("\n"):
            text += "\n"
        text += "".join(f"{name}={MADE[name]()}\n" for name in new)
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    return new


def compose() -> list[str] | None:
    """The command of Docker Compose; None, with a message, where there is none."""
    if shutil.which("docker") is None:
        print(
            "Docker isn't installed: https://docs.docker.com/engine/install/. Without it, make "
            "start runs the same services on this machine.",
            file=sys.stderr,
        )
        return None
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if asked.returncode:
        print(
            "docker is here, but not its plugin Compose: https://docs.docker.com/compose/install/. "
            "Without it, make start runs the same services on this machine.",
            file=sys.stderr,
        )
        return None
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        print(
            "docker is here, but no Docker engine answers: start it (systemctl start docker), or "
            "let this user use it. Without it, make start runs the same services on this machine.",
            file=sys.stderr,
        )
        return None
    files = [path for path in (ROOT / ".env", SECRETS) if path.exists()]
    return ["docker", "compose", *(word for path in files for word in ("--env-file", str(path)))]


COMMANDS = {
    "build": ["build"],
    "start": ["up", "--detach", "--build", "--wait"],
    "stop": ["--profile", "*", "down"],
    "restart": ["--profile", "*", "restart"],
    "logs": ["logs", "--tail", "100"],
}
"""What is asked for → what Compose does for it."""


def main() -> int:
    """Do what is asked; 0, or an exit code."""
    parser = argparse.ArgumentParser(description="The services in containers.")
    parser.add_argument("action", choices=COMMANDS)
    parser.add_argument("--profile", action="append", default=[], help="gpu, monitoring")
    parser.add_argument("rest", nargs="*", help="more for Compose, such as a service's name")
    asked, more = parser.parse_known_args()
    command = compose()
    if command is None:
        return MISSING
    if asked.action in ("start", "build"):
        if new := make_secrets():
            print(f"Made in {SECRETS.relative_to(ROOT)}: {', '.join(new)}")
        command = compose() or command  # the file may be new
    elif not SECRETS.exists():
        print("Nothing was started here: make start-services is first.", file=sys.stderr)
        return MISSING
    profiles = [word for name in asked.profile for word in ("--profile", name)]
    words = [*command, *profiles, *COMMANDS[asked.action], *asked.rest, *more]
    done = subprocess.run(words, cwd=ROOT, check=False)
    if asked.action == "start" and not done.returncode:
        print("Sign in with TUNESMITH_ADMIN_TOKEN of secrets/services.env.")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
