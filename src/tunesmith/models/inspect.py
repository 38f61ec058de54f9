"""What a model folder tells without loading the weights: no torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.models.architectures import (
    NAMED_OTHERWISE,
    NOT_FUSED,
    has_experts,
    in_block,
    is_embedding,
    positions,
    text_part,
    writes_text,
)


@dataclass(frozen=True)
class ModelFacts:
    """What a model folder tells without loading the weights."""

    model_type: str
    max_length: int | None
    """Longest input in tokens; None where the model states none."""
    modules: tuple[str, ...] = field(repr=False)
    """Names of the modules that hold a matrix, embeddings left out."""
    parameters: int = 0
    experts: bool = False
    several_parts: bool = False
    """Whether there is a part for text beside others, for pictures or sound."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Name of each tensor in the files → its shape."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`config.json`, or its part about text."""
    file_bytes: int = 0
    """Bytes of the weights' files."""
    writes_text: bool = False
    """Whether it writes text; the others understand it."""

    @property
    def target_modules(self) -> list[str] | None:
        """What LoRA adapts where nobody says; None where that is known once the model is loaded."""
        return self.block_modules or None if self.names_known else None

    @property
    def names_known(self) -> bool:
        """Whether the files' names say which layers are adapted.

        Some are renamed or fused while loading; a model that also sees or hears has other parts.
        """
        return (
            not self.experts and not self.several_parts and self.model_type not in NAMED_OTHERWISE
        )

    @property
    def fuses_attention(self) -> bool:
        """Whether its attention may be PyTorch's fused one."""
        return NOT_FUSED.isdisjoint((self.model_type, self.settings.get("model_type")))

    @property
    def block_modules(self) -> list[str]:
        """Last names of the matrices inside the numbered blocks: what LoRA usually adapts."""
        return sorted({name.rpartition(".")[2] for name in self.matrices_in_blocks})

    @property
    def matrices_in_blocks(self) -> list[str]:
        """Names of the matrices inside the numbered blocks."""
        return [name for name in self.modules if in_block(name)]


def inspect_model(folder: Path) -> ModelFacts:
    """Read what `config.json` and the safetensors headers tell.

    Raises ModelError when they can't be read.
    """
    try:
        config = _read_json(folder / "config.json")
        tokenizer_file = folder / "tokenizer_config.json"
        tokenizer = _read_json(tokenizer_file) if tokenizer_file.exists() else {}
        files = sorted(folder.glob("*.safetensors"))
        shapes = {name: shape for file in files for name, shape in _shapes(file).items()}
        file_bytes = sum(file.stat().st_size for file in files)
        text = text_part(config)
        limits = [*positions(text), tokenizer.get("model_max_length")]
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        # The last two: JSON, and not the objects that these files hold.
        raise ModelError(
            "the model in {folder} can't be read: {error}", folder=folder, error=error
        ) from error
    stated = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 0 < limit < 1e7]
    return ModelFacts(
        model_type=str(config.get("model_type", "unknown")),
        max_length=min(stated, default=None),
        modules=tuple(
            name.removesuffix(".weight")
            for name, shape in shapes.items()
            if name.endswith(".weight") and len(shape) == 2 and not is_embedding(name)
        ),
        parameters=sum(map(math.prod, shapes.values())),
        experts=has_experts(text),
        several_parts=text is not config,
        shapes=shapes,
        settings=text,
        file_bytes=file_bytes,
        writes_text=writes_text(config),
    )


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Name of each tensor in `file` → its shape. Raises ValueError when the file is cut off.

    Format: https://huggingface.co/docs/safetensors (8 bytes of length, then JSON).
    """
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, 100_000_000)))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if 8 + length + end > file.stat().st_size:
        raise ValueError(f"{file.name} is cut off")
    return {name: tuple(tensor["shape"]) for name, tensor in header.items()}


def read_chat_template(folder: Path) -> str:
    """The chat template of the model in `folder`, or all of them; empty where it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        return ""
    found = json.loads(settings.read_text(encoding="utf-8")).get("chat_template") or ""
    return found if isinstance(found, str) else "\n".join(each["template"] for each in found)
