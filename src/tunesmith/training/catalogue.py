"""The base models that are at hand on this machine: in installed packages, in the hub's cache."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from tunesmith.data.reading.packages import PREFIX
from tunesmith.errors import ModelError
from tunesmith.training.model import inspect_model


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
            inner = file.as_posix()
            if inner.endswith(".gguf"):
                found.append(_gguf(PREFIX + inner, Path(str(file.locate())), _licence(package)))
            elif inner.endswith("/config.json"):
                folder = Path(str(file.locate())).parent
                if any(folder.glob("*.safetensors")):
                    name = PREFIX + inner.removesuffix("/config.json")
                    found += _folder(name, "package", folder, _licence(package))
    return tuple(found)


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
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        generates = _generates(folder)
    except (ModelError, OSError, ValueError):
        return []
    return [
        BaseModel(
            name, source, size, licence, facts.model_type, facts.parameters, facts.max_length,
            generates,
        )
    ]  # fmt: skip


def _gguf(name: str, path: Path, licence: str) -> BaseModel:
    return BaseModel(name, "package", path.stat().st_size, licence, "gguf", None, None, True)


def _generates(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architectures = config.get("architectures") or []
    return any("CausalLM" in str(name) or "LMHead" in str(name) for name in architectures)


def _licence(package: importlib.metadata.Distribution) -> str:
    """Of the package, which may differ from the model's own; a card says more."""
    headers = package.metadata
    told = headers["License-Expression"] or headers["License"] or ""
    return told.splitlines()[0][:60] if told else ""


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
