"""Make the environment that Tunesmith runs in: detect the device, install what fits it.

`make` calls this before everything that needs the environment. When nothing changed it does
nothing, in a fraction of a second; a stamp inside the environment says what it was made from.
Standard library only: it runs before anything is installed. Exit code 2 means that this machine
lacks something which the message names, 1 that an installation failed.

This file alone must parse on Python 3.6: an old Python should get an answer, not a SyntaxError.
"""

import os
import shutil
import sys

if sys.version_info < (3, 11):
    for newer in ("python3.13", "python3.12", "python3.11"):
        found = shutil.which(newer)
        # A version manager's shim may be there and still refuse to start.
        if found and os.system("'{}' -c '' >/dev/null 2>&1".format(found)) == 0:
            os.execv(found, [found, *sys.argv])
    sys.stderr.write(
        "Tunesmith needs Python 3.11 or newer; {} is {}.{}. Install a newer one and name it: "
        "make setup PYTHON=python3.12\n".format(sys.executable, *sys.version_info[:2])
    )
    sys.exit(2)
if os.name == "nt":
    sys.stderr.write("Tunesmith runs on Linux and macOS; on Windows use WSL 2.\n")
    sys.exit(2)

import argparse
import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from environment import (
    ROOT,
    Environment,
    MissingError,
    SetupError,
    detect_device,
    is_up_to_date,
    known_extras,
    make_environment,
    read_stamp,
    say,
    write_stamp,
)
from packages import (
    describe,
    install_pinned,
    install_project,
    install_starter,
    install_torch,
)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock on this project's set-up; wait for another set-up of the same folder."""
    with Path(__file__).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this folder is running; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(environment: Environment, extras: set[str]) -> None:
    """Bring the environment to what the project asks for, and stamp it when all of it is there."""
    started = time.monotonic()
    extras = extras | (set(read_stamp(environment).get("extras", ())) & known_extras())
    environment.stamp.unlink(missing_ok=True)
    device = detect_device()
    say(f"Setting up {environment.folder.name} for {device}")
    if not environment.is_sound():
        make_environment(environment)
    install_pinned(environment, extras)
    install_torch(environment, device)
    install_project(environment, extras)
    install_starter(environment)
    summary = describe(environment, device)
    write_stamp(environment, extras)
    version = ".".join(map(str, environment.python_version()))
    seconds = time.monotonic() - started
    say(f"Ready in {seconds:.0f} s: {environment.folder.name}, Python {version}, {summary}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the environment that Tunesmith runs in.")
    parser.add_argument("--extras", default="", help="optional parts to install, such as dev,bench")
    parser.add_argument("--report", action="store_true", help="say so when nothing is to be done")
    parser.add_argument("--conda", action="store_true", help="make a Conda environment in .conda")
    return parser.parse_args()


def main() -> int:
    """Set up, unless nothing changed; 0, or the exit code that the module's docstring explains."""
    arguments = parse_arguments()
    extras = {name.strip() for name in arguments.extras.split(",") if name.strip()}
    environment = Environment(ROOT / (".conda" if arguments.conda else ".venv"), arguments.conda)
    try:
        unknown = extras - known_extras()
        if unknown:
            accepted = ", ".join(sorted(known_extras()))
            raise MissingError(
                f"Unknown extras: {', '.join(sorted(unknown))}; there are {accepted}."
            )
        if is_up_to_date(environment, extras):
            if arguments.report:
                say(f"{environment.folder.name} is up to date")
            return 0
        with one_at_a_time():
            if not is_up_to_date(environment, extras):
                install(environment, extras)
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nSet-up stopped; the same command goes on with it.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
