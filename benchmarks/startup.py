"""How long a person waits before anything happens: commands that only say something.

Run with `make bench`, or alone with `python -m benchmarks.startup`; half a minute. Each command
runs `--repeat` times, in turns with the others; a figure is the median of whole processes.
TRL's own `--help` stands beside them where TRL is installed, and the libraries that every training
needs, imported and nothing else. The time to the first step of a training is in `training.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TUNESMITH = str(Path(sys.executable).with_name("tunesmith"))
COMMANDS = {
    "tunesmith --help": [TUNESMITH, "--help"],
    "tunesmith train --help": [TUNESMITH, "train", "--help"],
    "tunesmith experiments list (none yet)": [TUNESMITH, "experiments", "list"],
    "trl sft --help": [sys.executable, "-c", "from trl.cli import main; main()", "sft", "--help"],
    "import torch, transformers, peft": [sys.executable, "-c", "import torch, transformers, peft"],
}
"""What is shown → the command."""


def main() -> int:
    """Measure, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    commands = dict(COMMANDS)
    if importlib.util.find_spec("trl") is None:
        del commands["trl sft --help"]
        print("trl isn't installed: left out", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.repeat + 1):  # the first time fills the disk's cache
            for name, command in commands.items():
                seconds[name].append(_timed(command, Path(folder)))
    figures = {name: round(statistics.median(found[1:]), 3) for name, found in seconds.items()}
    for name, value in figures.items():
        print(f"{name:40}{value:8.3f} s")
    if arguments.output:
        report = {"seconds": figures, "repeat": arguments.repeat, "cores": os.cpu_count()}
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _timed(command: list[str], folder: Path) -> float:
    own = {"TUNESMITH_RESULTS_DIR": str(folder / "results"), "HOME": str(folder)}
    begun = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={**os.environ, **own}, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begun


if __name__ == "__main__":
    raise SystemExit(main())
