"""The base models that are at hand on this machine: in installed packages, in the hub's cache."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Literal

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from tunesmith.errors import ModelError
from tunesmith.models.inspect import inspect_model
from tunesmith.names import Package


@dataclass(frozen=True)
class BaseModel:
    """A base model, as much of it as its files tell."""

    name: str
    """What to write as `model.name`."""
    source: Literal["package", "cache"]
    size: int
    """Bytes of its weights."""
    licence: str
    """As its package or its card says; empty where neither does."""
    architecture: str
    """`model_type` of its configuration; gguf for a file of that format."""
    parameters: int | None
    max_length: int | None
    """Longest input in tokens."""
    generates: bool
    """Whether it writes text; the others understand it."""


def base_models() -> list[BaseModel]:
    """All that are at hand, by name; models whose files can't be read are left out."""
    return sorted([*_in_packages(), *_in_cache()], key=lambda model: model.name)


@cache
def _in_packages() -> tuple[BaseModel, ...]:
    found = []
    for package in importlib.metadata.distributions():
        for file in package.files or ():
            if file.suffix == ".gguf":
                size, licence = Path(str(file.locate())).stat().st_size, _licence(package)
                name = _name(file)
                found.append(BaseModel(name, "package", size, licence, "gguf", None, None, True))
            elif file.name == "config.json" and len(file.parts) > 1:
                folder = Path(str(file.locate())).parent
                if any(folder.glob("*.safetensors")):
                    found += _folder(_name(file.parent), "package", folder, _licence(package))
    return tuple(found)


def _name(file: PurePath) -> str:
    """What names a file or folder of a package, whose path begins with the package's name."""
    return str(Package(file.parts[0], "/".join(file.parts[1:])))


def _in_cache() -> list[BaseModel]:
    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, OSError):
        return []
    found = []
    for repository in repositories:
        newest = max(repository.revisions, key=lambda r: r.last_modified, default=None)
        if repository.repo_type != "model" or newest is None:
            continue
        folder = newest.snapshot_path
        if (folder / "config.json").exists() and any(folder.glob("*.safetensors")):
            found += _folder(repository.repo_id, "cache", folder, _card_licence(folder))
    return found


def _folder(
    name: str, source: Literal["package", "cache"], folder: Path, licence: str
) -> list[BaseModel]:
    try:
        facts = inspect_model(folder)
    except ModelError:
        return []
    return [
        BaseModel(
            name, source, facts.file_bytes, licence, facts.model_type, facts.parameters,
            facts.max_length, facts.writes_text,
        )
    ]  # fmt: skip


def _licence(package: importlib.metadata.Distribution) -> str:
    """Of the package, which may differ from the model's own; a card says more."""
    headers = package.metadata
    licence = headers["License-Expression"] or headers["License"] or ""
    return licence.splitlines()[0][:60] if licence else ""


def _card_licence(folder: Path) -> str:
    """The field `license` of the model card's header."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    for line in text.partition("\n---")[0].splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == "license":
            return value.strip()[:60]
    return ""
