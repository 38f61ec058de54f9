"""The packages of constraints.txt: each with its version, its files' hashes and what needs it.

    python3 scripts/pins.py base dev >requirements.txt
    pip install --no-deps --only-binary :all: --require-hashes --requirement requirements.txt

Standard library only: it runs before anything is installed. scripts/renew_pins.py writes the file.
"""

import argparse
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "constraints.txt"
_ENTRY = re.compile(r"^\w\S*==.*?\n    # .*?$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Pin:
    """One package as constraints.txt has it; `groups` are extras, images, `base` and `build`."""

    name: str
    version: str
    requirement: str
    groups: frozenset[str]


def pins() -> list[Pin]:
    """Every package of the list, in its order."""
    found = []
    for entry in _ENTRY.findall(FILE.read_text(encoding="utf-8")):
        requirement, _, groups = entry.rpartition("\n    # ")
        name, _, rest = requirement.partition("==")
        found.append(Pin(name, re.split(r"[\s;]", rest)[0], requirement, frozenset(groups.split())))
    return found


def groups() -> set[str]:
    """What can be asked for."""
    return set().union(*(pin.groups for pin in pins()))


def requirements(wanted: Collection[str]) -> str:
    """What pip reads to install the packages of these groups."""
    chosen = (pin for pin in pins() if not pin.groups.isdisjoint(wanted))
    return "".join(f"{pin.requirement}\n" for pin in chosen)


def main() -> None:
    """Print the packages of the groups that are named."""
    parser = argparse.ArgumentParser(description="Print pinned packages with their hashes.")
    parser.add_argument("groups", nargs="+", choices=sorted(groups()))
    print(requirements(parser.parse_args().groups), end="")


if __name__ == "__main__":
    main()
