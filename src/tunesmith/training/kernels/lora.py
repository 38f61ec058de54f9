"""A frozen linear layer and its adapter in one forward and one backward.

PEFT computes `W x + b`, casts `x`, computes `B A x`, scales it and adds it: five passes over the
output, and as many in the backward. Here the small products are added into the large ones' results.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners import lora
from torch import nn
from torch.nn import functional

from tunesmith.training.kernels.dropout import dropout


class _AdaptedLinear(torch.autograd.Function):
    """`x W' + b + s (x A') B'`, gradients for `x`, `A` and `B` alone.

    `x` has shape (..., in), `W` (out, in), `A` (r, in), `B` (out, r). All products have the number
    format of `W`; the gradients of `A` and `B` have theirs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        a, b = down.to(weight.dtype), (up * scale).to(weight.dtype)
        hidden = rows @ a.t()
        result = functional.linear(rows, weight, bias)
        result.addmm_(hidden, b.t())
        ctx.save_for_backward(rows, hidden, weight, a, b)
        ctx.scale = scale
        ctx.formats = x.dtype, down.dtype, up.dtype
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        rows, hidden, weight, a, b = ctx.saved_tensors
        of_x, of_down, of_up = ctx.formats
        gradient = grad.reshape(-1, grad.shape[-1])
        small = gradient @ b
        # (hidden' g)' reads both matrices in the order in which they lie; g' hidden doesn't.
        up = (hidden.t() @ gradient).t().to(of_up) * ctx.scale
        down = (small.t() @ rows).to(of_down)
        into = None
        if ctx.needs_input_grad[0]:
            into = gradient @ weight
            into.addmm_(small, a)
            into = into.to(of_x).view(*grad.shape[:-1], -1)
        return into, None, None, down, up, None


class AdaptedLinear(lora.Linear):
    """PEFT's layer, which computes with `_AdaptedLinear` while it trains."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`x` of shape (..., in) to (..., out), as the parent does."""
        name = self._one_adapter()
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        base = self.get_base_layer()
        a: Any = self.lora_A[name].weight
        b: Any = self.lora_B[name].weight
        scale = self.scaling[name]
        share = getattr(self.lora_dropout[name], "p", 0.0)
        if share:  # the adapter sees another input than the frozen layer
            dropped = dropout(x, share)
            small = functional.linear(functional.linear(dropped, a.to(x.dtype)), b.to(x.dtype))
            return base(x).add_(small, alpha=scale)  # type: ignore[no-any-return]
        return _AdaptedLinear.apply(x, base.weight, base.bias, a, b, scale)  # type: ignore[no-any-return, no-untyped-call]

    def _one_adapter(self) -> str | None:
        """The name of the adapter, where there is nothing but one that trains."""
        if not self.training or self.disable_adapters or self.merged:
            return None
        active = [name for name in self.active_adapters if name in self.lora_A]
        return active[0] if len(active) == 1 else None


def fits(module: nn.Module) -> bool:
    """Whether `module` is a plain LoRA layer on a plain frozen linear layer."""
    if type(module) is not lora.Linear or module.fan_in_fan_out or module.lora_variant:
        return False
    base: Any = module.get_base_layer()
    return (
        type(base) is nn.Linear
        and not any(parameter.requires_grad for parameter in base.parameters())
        and not any(module.lora_bias.values())
        and not base._forward_hooks
        and not base._forward_pre_hooks
    )
