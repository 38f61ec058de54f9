"""Which layers of a loaded model an adapter is put on, where its user doesn't say.

All linear layers of the blocks that read text, not only query and value: QLoRA (Dettmers et al.
2023, section 4) found that adapting all of them is what matches full fine-tuning. They are found on
the loaded model: in its files they may have other names, and lie together or apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import _check_lora_target_modules_mamba
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunesmith.models.architectures import ROUTERS, in_block, sees_or_hears


def find_layers(model: Any, fresh: Sequence[str] = ()) -> list[str]:
    """The layers of `model` to adapt, as PEFT takes them: last names where these mean no others.

    `fresh` are modules that train whole. Empty where no block holds a matrix.
    """
    left_out = [*_other_parts(model), *(name for name in fresh if name)]
    all_matrices = {
        name: module
        for name, module in model.named_modules()
        if _is_matrix(module) and not _inside(name, left_out)
    }
    in_blocks = [name for name in all_matrices if in_block(name)]
    left_alone = ROUTERS | _incompatible(model)
    wanted = [name for name in in_blocks if not left_alone & set(name.split("."))]
    last = sorted({last_of(name) for name in wanted})
    outside = set(all_matrices) - set(in_blocks)
    meant = {name for name, _ in model.named_modules() if last_of(name) in last}
    return last if meant - outside - set(left_out) == set(wanted) else wanted


def _incompatible(model: Any) -> set[str]:
    """Last names that PEFT refuses in models like `model`: Mamba's kernels read these weights."""
    asked = SimpleNamespace(peft_type=PeftType.LORA)
    found = set()
    for name in {last_of(name) for name, module in model.named_modules() if _is_matrix(module)}:
        try:
            _check_lora_target_modules_mamba(cast(PeftConfig, asked), model, name)
        except ValueError:
            found.add(name)
    return found


def last_of(name: str) -> str:
    """The last part of a module's name."""
    return name.rpartition(".")[2]


def matrices(model: Any, fresh: Sequence[str] = ()) -> list[str]:
    """Last names of all that holds a matrix, embeddings too, but for what is in `fresh`."""
    return sorted(
        {
            last_of(name)
            for name, module in model.named_modules()
            if name
            and (_is_matrix(module) or isinstance(module, nn.Embedding))
            and not _inside(name, fresh)
        }
    )


def holds_transposed(model: Any) -> bool:
    """Whether layers of `model` hold their matrices transposed, as GPT-2's do."""
    return any(isinstance(module, Conv1D) for module in model.modules())


def _is_matrix(module: nn.Module) -> bool:
    pointwise = isinstance(module, nn.Conv1d) and module.kernel_size == (1,) and module.groups == 1
    return isinstance(module, (nn.Linear, Conv1D)) or pointwise


def _inside(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _other_parts(model: Any) -> Iterator[str]:
    """Names of the parts of `model` that see or hear: they have a configuration of their own."""
    config = getattr(model, "config", None)
    if not isinstance(config, PreTrainedConfig):
        return
    others = {type(part) for name, part in _parts_of(config) if sees_or_hears(name)}
    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel) and type(module.config) in others:
            yield name


def _parts_of(config: PreTrainedConfig) -> Iterator[tuple[str, PreTrainedConfig]]:
    """Configurations within `config`, those within an encoder's or a decoder's too, by name."""
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield name, value
            yield from _parts_of(value)
