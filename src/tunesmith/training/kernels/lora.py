"""Frozen linear layers and their adapters in one forward and one backward.

PEFT computes `W x + b`, casts `x`, computes `B A x`, scales it and adds it: five passes over the
output, and as many in the backward. Here the small products are added into the large ones' results,
and layers that read the same input (query, key and value, say) are computed as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from peft.tuners import lora
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from tunesmith.training.kernels import trial
from tunesmith.training.kernels.dropout import dropout


class _AdaptedLinear(torch.autograd.Function):
    """`x W' + b + s (x A') B'` of one or more layers, gradients for `x` and each `A` and `B` alone.

    `x` has shape (..., in); `W` (out, in) and `b` (out) are those of all layers, stacked;
    each `A` is (r, in), each `B` (out of its layer, r). All products have the number format of `W`;
    the gradients of `A` and `B` have theirs. Returns one result for each layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scales: Sequence[float],
        *small: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        downs, ups = small[::2], small[1::2]
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        a = (downs[0] if len(downs) == 1 else torch.cat(downs)).to(weight.dtype)
        scaled = [up * scale for up, scale in zip(ups, scales, strict=True)]
        b = scaled[0] if len(ups) == 1 else torch.block_diag(*scaled)  # type: ignore[no-untyped-call]
        b = b.to(weight.dtype)
        hidden = rows @ a.t()
        # The small product first: the large one is added to it without another pass.
        result = hidden @ b.t() if bias is None else torch.addmm(bias, hidden, b.t())
        result.addmm_(rows, weight.t())
        ctx.save_for_backward(rows, hidden, weight, a, b)
        ctx.scales, ctx.format = scales, x.dtype
        ctx.small = [(len(part), part.dtype) for part in small]
        parts = torch.tensor_split(result, _ends(ups), dim=1)
        return tuple(part.view(*x.shape[:-1], -1) for part in parts)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        rows, hidden, weight, a, b = ctx.saved_tensors
        flat = [grad.reshape(-1, grad.shape[-1]) for grad in grads]
        gradient = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        small = gradient @ b
        # (hidden' g)' reads both matrices in the order in which they lie; g' hidden doesn't.
        ups = (hidden.t() @ gradient).t()
        downs = small.t() @ rows
        found = []
        rank = out = 0
        for scale, down, up in zip(ctx.scales, ctx.small[::2], ctx.small[1::2], strict=True):
            after, end = rank + down[0], out + up[0]
            found += [
                downs[rank:after].to(down[-1]),
                ups[out:end, rank:after].to(up[-1]) * scale,
            ]
            rank, out = after, end
        into = None
        if ctx.needs_input_grad[0]:
            into = (small @ a).addmm_(gradient, weight)
            into = into.to(ctx.format).view(*grads[0].shape[:-1], -1)
        return into, None, None, None, *found


def _ends(parts: Sequence[torch.Tensor]) -> list[int]:
    """Where each of `parts`, stacked, ends; the last one left out."""
    return list(accumulate(len(part) for part in parts))[:-1]


class AdaptedLinear(lora.Linear):
    """PEFT's layer, which computes with `_AdaptedLinear` while it trains."""

    siblings: Siblings | None = None
    """This layer and those that read the same input, where there are such."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`x` of shape (..., in) to (..., out), as the parent does."""
        name = self._one_adapter()
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        if self.siblings is not None:
            return self.siblings.compute(self, x, name)
        base = self.get_base_layer()
        a, b, scale = self.small(name)
        share = getattr(self.lora_dropout[name], "p", 0.0) if self.training else 0.0
        if share:  # the adapter sees another input than the frozen layer
            dropped = dropout(x, share)
            small = functional.linear(functional.linear(dropped, a.to(x.dtype)), b.to(x.dtype))
            return base(x).add_(small, alpha=scale)  # type: ignore[no-any-return]
        return _AdaptedLinear.apply(x, base.weight, base.bias, (scale,), a, b)[0]  # type: ignore[no-any-return, no-untyped-call]

    def small(self, name: str) -> tuple[Any, Any, float]:
        """`A`, `B` and `s` of the adapter `name`."""
        return self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]

    def _one_adapter(self) -> str | None:
        """The name of the adapter, where there is nothing but one that trains."""
        if not trial.in_use(self) or self.disable_adapters or self.merged:
            return None
        active = [name for name in self.active_adapters if name in self.lora_A]
        return active[0] if len(active) == 1 else None


class Siblings:
    """Layers that read the same input, computed at once when the first of them is called.

    Their frozen weights are stacked in one matrix, of which each layer's own is a part.
    """

    def __init__(self, layers: Sequence[AdaptedLinear]) -> None:
        self._layers = layers
        self._input: torch.Tensor | None = None
        self._found: dict[AdaptedLinear, torch.Tensor] = {}
        self._weight = self._stacked("weight")
        self._bias = self._stacked("bias")

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The frozen weights of all."""
        return [part for part in (self._weight, self._bias) if part is not None]

    def compute(self, layer: AdaptedLinear, x: torch.Tensor, name: str) -> torch.Tensor:
        """What `layer` makes of `x` with the adapter `name`; the others' results wait for them."""
        if x is not self._input or layer not in self._found:
            small: list[Any] = []
            scales = []
            for each in self._layers:
                a, b, scale = each.small(name)
                small += [a, b]
                scales.append(scale)
            found = _AdaptedLinear.apply(x, self._weight, self._bias, tuple(scales), *small)  # type: ignore[no-untyped-call]
            self._input, self._found = x, dict(zip(self._layers, found, strict=True))
        result = self._found.pop(layer)
        if not self._found:
            self._input = None
        return result

    def _stacked(self, name: str) -> torch.Tensor | None:
        parts = [getattr(layer.get_base_layer(), name) for layer in self._layers]
        if parts[0] is None:
            return None
        whole = torch.cat([part.detach() for part in parts])
        for part, own in zip(parts, torch.tensor_split(whole, _ends(parts)), strict=True):
            part.data = own
        return whole


def reading_the_same(model: Any, read: Callable[[], Any]) -> list[list[str]]:
    """Names of the layers of `model` that are given the same input while it does `read`.

    Raises what `read` raises.
    """
    calls: list[tuple[torch.Tensor, str, AdaptedLinear]] = []

    def heard(name: str, layer: AdaptedLinear) -> RemovableHandle:
        return layer.register_forward_pre_hook(
            lambda _, given: calls.append((given[0], name, layer))
        )

    hooks = [
        heard(name, module)
        for name, module in model.named_modules()
        if isinstance(module, AdaptedLinear) and _may_be_joined(module)
    ]
    try:
        with torch.inference_mode(), trial.forced():
            read()
    finally:
        for hook in hooks:
            hook.remove()
    groups: list[list[tuple[torch.Tensor, str, AdaptedLinear]]] = []
    for call in calls:
        before = groups[-1][0] if groups else None
        if before and before[0] is call[0] and _has_bias(before[2]) == _has_bias(call[2]):
            groups[-1].append(call)
        else:
            groups.append([call])
    times = Counter(name for _, name, _ in calls)
    named = [[name for _, name, _ in group] for group in groups if len(group) > 1]
    return [names for names in named if all(times[name] == 1 for name in names)]


def join(model: Any, groups: Sequence[Sequence[str]]) -> None:
    """Compute the layers of `model` at once that stand in one of `groups`, by their names."""
    for names in groups:
        layers = [model.get_submodule(name) for name in names]
        siblings = Siblings(layers)
        for layer in layers:
            layer.siblings = siblings


def part(model: Any) -> None:
    """Compute each layer of `model` separately again."""
    for module in model.modules():
        if isinstance(module, AdaptedLinear):
            module.siblings = None


def _may_be_joined(layer: AdaptedLinear) -> bool:
    base: Any = layer.get_base_layer()
    dropped = any(getattr(each, "p", 0.0) for each in layer.lora_dropout.values())
    return base.weight.is_cpu and not dropped


def _has_bias(layer: AdaptedLinear) -> bool:
    base: Any = layer.get_base_layer()
    return base.bias is not None


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
