"""Root mean square normalisation (Zhang and Sennrich 2019) whose weight is frozen, in few passes.

The models' own code is a chain of operations, each of which has a backward of its own over tensors
in float32. Here the backward is one: for `y = w x / rms(x)` with `n = x / rms(x)`, the gradient is
`(g w - n mean(g w n)) / rms(x)`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tunesmith.models.architectures import epsilon_of, is_rms_norm
from tunesmith.training.kernels import trial


class _RmsNorm(torch.autograd.Function):
    """As Llama's: the mean in float32 at least, `x` normalised, rounded to its format, weighted."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        exact = x.to(torch.promote_types(x.dtype, torch.float32), copy=True)
        squares = torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_()
        inverse = squares.div_(x.shape[-1]).add_(eps).rsqrt_()
        normal = exact.mul_(inverse).to(x.dtype)
        ctx.save_for_backward(normal, inverse, weight)
        return normal * weight

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        normal, inverse, weight = ctx.saved_tensors
        exact = inverse.dtype
        weighted = (grad * weight).to(exact)
        along = normal.to(exact)
        mean = (weighted * along).sum(-1, keepdim=True).div_(-normal.shape[-1])
        return weighted.addcmul_(along, mean).mul_(inverse).to(grad.dtype), None, None


def fits(module: nn.Module) -> bool:
    """Whether `module` is a root mean square normalisation that computes as `_RmsNorm` does.

    There are variants under the same name (Gemma's weight counts from 1), so it is tried.
    """
    weight = getattr(module, "weight", None)
    eps = epsilon_of(module)
    if not is_rms_norm(module) or weight is None or eps is None:
        return False
    if weight.requires_grad or weight.dim() != 1 or not weight.is_cpu:
        return False
    if getattr(module, "bias", None) is not None:
        return False
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(2, len(weight), generator=generator).to(weight.dtype)
    try:
        with torch.no_grad():
            theirs, ours = module(sample), _RmsNorm.apply(sample, weight, eps)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - it wants something else than one tensor, say
        return False
    same = torch.isclose(theirs, ours, rtol=1e-5, atol=1e-6)
    return theirs.dtype == ours.dtype and bool(same.all())


class _FrozenNorm:
    """Put before a class of norms: computes with `_RmsNorm` while it trains."""

    def forward(self, x: torch.Tensor) -> Any:
        """`x` of shape (..., size), normalised over the last dimension."""
        if not trial.in_use(self):  # type: ignore[arg-type]
            return super().forward(x)  # type: ignore[misc]
        return _RmsNorm.apply(x, self.weight, epsilon_of(self))  # type: ignore[attr-defined, no-untyped-call]


def use(module: nn.Module) -> None:
    """Make `module`, which `fits`, compute with `_RmsNorm` while it trains."""
    kind = type(module)
    module.__class__ = type(kind.__name__, (_FrozenNorm, kind), {})
