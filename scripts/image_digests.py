"""Pins the images of others to their content: which digest each has now, and whether it is noted.

    python3 scripts/image_digests.py            what is pinned, and what isn't (exit code 1)
    python3 scripts/image_digests.py --write    asks the registry through Docker, notes them in .env

A tag may be given to another image at any time; a digest is the image. Compose and the Dockerfile
read `POSTGRES_DIGEST=@sha256:…` and its like from .env; for Kubernetes they go into an overlay, as
`images: [{name: docker.io/library/postgres, digest: sha256:…}]`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = ("docker-compose.yml", "Dockerfile")

_IMAGE = re.compile(r"(docker\.io/[\w./-]+:[\w.-]+)\$\{([A-Z_]+_DIGEST)(?::-)?\}")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")


def images(root: Path = ROOT) -> dict[str, str]:
    """Variable of its digest → image, of all that our files name."""
    found = (_IMAGE.findall((root / name).read_text(encoding="utf-8")) for name in FILES)
    return {variable: image for pairs in found for image, variable in pairs}


def pinned(env: Path) -> dict[str, str]:
    """Variable → digest, as `env` has them. Raises ValueError for one that is no digest."""
    lines = env.read_text(encoding="utf-8").splitlines() if env.is_file() else []
    found = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+_DIGEST=.", line))
    for variable, digest in found.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{env}: {variable} is {digest!r}; accepted: @sha256:, 64 hex digits")
    return found


def write(env: Path, digests: Mapping[str, str]) -> None:
    """Note digests in `env`, in place of older ones; the rest of it stays."""
    lines = env.read_text(encoding="utf-8").splitlines() if env.is_file() else []
    kept = [line for line in lines if line.partition("=")[0] not in digests]
    made = [f"{variable}={digest}" for variable, digest in sorted(digests.items())]
    env.write_text("\n".join([*kept, *made]) + "\n", encoding="utf-8")


def ask_docker(image: str) -> str:
    """The digest that the registry gives `image` now. Raises RuntimeError if it is silent."""
    command = [
        "docker",
        "buildx",
        "imagetools",
        "inspect",
        "--format",
        "{{.Manifest.Digest}}",
        image,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise RuntimeError(f"{image}: the registry can't be asked: {said.strip()}") from error
    return f"@{done.stdout.strip()}"


def main(
    arguments: list[str], env: Path = ROOT / ".env", ask: Callable[[str], str] = ask_docker
) -> int:
    """Show, or with `--write` note; the exit code."""
    known = images()
    try:
        if "--write" in arguments:
            write(env, {variable: ask(image) for variable, image in known.items()})
        digests = pinned(env)
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for variable, image in known.items():
        print(f"{image}{digests.get(variable, f'  not pinned: {variable} in .env')}")
    return 0 if known.keys() <= digests.keys() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
