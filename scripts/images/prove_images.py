"""Prove the images without a Docker engine: run the Dockerfile's steps in clean roots, and ask.

Each `FROM image` becomes a bare Debian (debootstrap) with Python; each RUN is carried out in it by
chroot, with the ENV, ARG and WORKDIR of the Dockerfile, and each COPY takes what `.dockerignore`
lets through. Then each service is started as its USER with its ENTRYPOINT and CMD, on a root that
is mounted read-only but for VOLUME and /tmp, and its HEALTHCHECK must succeed.

What differs from Docker: the base image (Debian's Python in place of python.org's), and where
packages come from: as pip is set up on this machine, its folders of packages included. Linux, as
root, with debootstrap.

    make prove-images ARGS="api ui"
    make prove-images ARGS="worker --build-arg TORCH_BUILD="
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from image_roots import ROOT, Builder, Machine, ProofError
from image_services import prove

SERVICES = ("api", "ui", "worker")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the Dockerfile's steps in clean roots.")
    parser.add_argument("services", nargs="*", help="of api, ui, worker; all without any")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="show this folder of the machine to RUN, such as one with packages",
    )
    parser.add_argument("--base", type=Path, help="a bare Debian that is there already")
    parser.add_argument("--folder", type=Path, help="where the roots are made; by default in /tmp")
    return parser.parse_args()


def main() -> int:
    """Prove the services that are named; 0 when all answered."""
    asked = parse_arguments()
    services = asked.services or SERVICES
    if unknown := set(services) - set(SERVICES):
        print(f"There is no image called {', '.join(unknown)}; there are {', '.join(SERVICES)}.")
        return 2
    missing = [name for name in ("debootstrap", "unshare", "chroot") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        print(f"This needs to be root, with: {' '.join(missing) or 'debootstrap'}.")
        return 2
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="tunesmith-images-"))
    arguments = dict(text.split("=", 1) for text in asked.build_arg)
    try:
        builder = Builder(ROOT / "Dockerfile", folder, Machine(asked.base, asked.bind), arguments)
        roots = {service: builder.build(service) for service in services}
        prove(roots, folder)
    except (ProofError, subprocess.CalledProcessError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
