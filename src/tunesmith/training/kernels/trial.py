"""Whether a kernel may be used: while a model trains, and where it gave what the model gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

SHARED = 5
"""First tokens that the texts of a trial share."""
_tried = False


def in_use(module: nn.Module) -> bool:
    """Whether the kernel of `module` computes now: while it trains, or is tried."""
    return module.training or _tried


@contextmanager
def forced() -> Iterator[None]:
    """Within this, kernels compute though the model doesn't train: nothing is left to chance."""
    global _tried
    _tried = True
    try:
        yield
    finally:
        _tried = False


def texts(model: Any) -> dict[str, torch.Tensor]:
    """Three texts made up, ten tokens long, the first `SHARED` of them the same."""
    generator = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().num_embeddings
    ids = torch.randint(size, (3, 10), generator=generator)
    ids[:, :SHARED] = ids[0, :SHARED]
    ids = ids.to(model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def agrees(expected: Callable[[], torch.Tensor], *others: Callable[[], torch.Tensor]) -> bool:
    """Whether what `others` give with kernels is what `expected` gives without, but for rounding.

    One that can't compute at all (it is given what the model doesn't take, say) doesn't agree.
    """
    with torch.inference_mode():
        wanted = expected().float()
        try:
            with forced():
                found = [other().float() for other in others]
        except (TypeError, ValueError, RuntimeError):
            return False
    return all(
        one.shape == wanted.shape and bool((one - wanted).norm() <= 0.05 * wanted.norm())
        for one in found
    )
