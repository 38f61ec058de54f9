"""Check that everything Tunesmith needs when it runs comes under a permissive licence.

Walks the dependencies of the installed distributions, beginning with Tunesmith (and its optional
parts, where they are installed) and the starter's models and data. A licence is taken from
`License-Expression`, else from the classifiers, else from the `License` field. One line per
offender, with the path by which it is needed; exit code 1 when there is one.

MPL-2.0 is accepted: its copyleft ends at the file, and the packages under it (certifi, tqdm) are
used unmodified. GPL, AGPL and LGPL are not; neither is a licence that can't be recognised.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STARTER = Path(__file__).resolve().parent.parent / "requirements-starter.txt"
OPTIONAL = (
    *("bench", "export", "postgres", "quantization"),
    *("mlflow", "tensorboard", "trackio", "wandb"),
)
# What optional parts need is checked where it is installed, and named where it isn't.
ROOTS = ("tunesmith", *(f"tunesmith[{extra}]" for extra in OPTIONAL))

ACCEPTED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
        "CNRI-Python", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0",
        "Python-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip

# What people write for a licence in classifiers and in the free-text field → its SPDX identifier.
# "BSD" without a number of clauses is taken as the strictest of them, which is accepted too.
SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}

# Read by a person, because the rules above can't decide: name → why it may be used.
REVIEWED = {
    "psycopg": "LGPL-3.0, only with the optional part `postgres`: used unmodified as a library of "
    "its own, which its licence allows to programs under any licence",
    "psycopg-binary": "as psycopg",
}
# NVIDIA's own libraries come only with PyTorch's CUDA build. Proprietary, free to use and to pass
# on with an application; Tunesmith runs without them.
REVIEWED_PREFIXES = ("nvidia-", "cuda-")

SPDX = get_spdx_licensing()


@dataclass(frozen=True)
class Needed:
    """A distribution that is needed, and by which path."""

    name: str
    path: tuple[str, ...]
    optional: bool
    found: Distribution | None

    def __str__(self) -> str:
        return " → ".join(self.path)


def closure(roots: Iterable[str]) -> Iterator[Needed]:
    """Every distribution that the requirements `roots` need on this machine, each once.

    What a root with extras needs is optional: its extras may not be installed.
    """
    visited: set[tuple[str, str]] = set()
    given: set[str] = set()
    for root in map(Requirement, roots):
        queue: list[tuple[Requirement, tuple[str, ...]]] = [(root, ())]
        while queue:
            requirement, above = queue.pop(0)
            name = canonicalize_name(requirement.name)
            new = {"", *requirement.extras} - {extra for known, extra in visited if known == name}
            visited.update((name, extra) for extra in new)
            extras = ",".join(sorted(requirement.extras))
            path = (*above, f"{requirement.name}[{extras}]" if extras else requirement.name)
            found = installed(name)
            if name not in given:
                given.add(name)
                yield Needed(name, path, bool(root.extras), found)
            for child in map(Requirement, (found.requires or []) if found else []):
                marker = child.marker
                if any(marker is None or marker.evaluate({"extra": extra}) for extra in new):
                    queue.append((child, path))


def installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def starter() -> Iterator[Needed]:
    """The starter's distributions, without what they ask for: that is not installed."""
    for line in STARTER.read_text(encoding="utf-8").splitlines():
        name, equals, _ = line.partition("==")
        if equals and not line.startswith("#"):
            yield Needed(canonicalize_name(name), (STARTER.name, name), False, installed(name))


def licence_of(found: Distribution) -> str:
    """The licence that a distribution states, as an SPDX expression where it can be understood."""
    expression = found.metadata["License-Expression"]
    if expression:
        return expression
    classifiers = (
        line.rpartition(" :: ")[2]
        for line in found.metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and not line.endswith((" OSI Approved", " DFSG approved"))
    )
    stated = list(classifiers) or [found.metadata["License"] or ""]
    return " AND ".join(SPELLINGS.get(text.strip().lower(), text.strip()) for text in stated)


def is_accepted(expression: str) -> bool:
    """Whether every licence of an AND, and at least one of an OR, is on the list."""
    try:
        parsed = SPDX.parse(expression)
    except ExpressionError:
        return False
    return parsed is not None and _accepts(parsed)


def _accepts(node: Any) -> bool:
    if isinstance(node, SPDX.AND):
        return all(map(_accepts, node.args))
    if isinstance(node, SPDX.OR):
        return any(map(_accepts, node.args))
    # An exception ("Apache-2.0 WITH LLVM-exception") only adds permissions.
    return getattr(node, "license_symbol", node).key in ACCEPTED


def complaint(item: Needed) -> str | None:
    """What is wrong with a distribution's licence, in one line; None when nothing is."""
    if item.found is None:
        return None if item.optional else f"{item}: not installed, so its licence can't be read"
    if item.name in REVIEWED or item.name.startswith(REVIEWED_PREFIXES):
        return None
    licence = licence_of(item.found)
    if is_accepted(licence):
        return None
    return f"{item}: {shorten(licence) if licence else 'no licence stated'}"


def shorten(text: str, limit: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def main() -> int:
    """Print one line per offender, or that there is none; 1 or 0."""
    parser = argparse.ArgumentParser(description="Check the licences of what Tunesmith needs.")
    parser.add_argument("roots", nargs="*", help="requirements to begin with instead of Tunesmith")
    roots = parser.parse_args().roots
    items = [*closure(roots or ROOTS), *([] if roots else starter())]
    complaints = [text for text in map(complaint, items) if text]
    if complaints:
        print("Licences that are not accepted (see scripts/check_licenses.py):")
        print("\n".join(complaints))
        return 1
    absent = [item.name for item in items if item.found is None]
    line = f"{len(items) - len(absent)} distributions, every licence accepted"
    print(line + (f"; not installed, so not checked: {', '.join(absent)}" if absent else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
