"""A model with as few layers as show all that it does: what is tried on it costs little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from tunesmith.models.architectures import LAYER_NUMBERS


@contextmanager
def shortened(model: nn.Module, known: dict[int, int] | None = None) -> Iterator[None]:
    """Within this, every stack of layers in `model` ends where no new kind of layer follows.

    `known` remembers how many layers that are, from one time to the next.
    """
    known = {} if known is None else known
    whole = list(_stacks(model))
    try:
        for owner, name, stack in whole:
            kept = known[id(stack)] if id(stack) in known else _kept(stack)
            known[id(stack)] = kept
            owner._modules[name] = nn.ModuleList(list(stack)[:kept])
        yield
    finally:
        for owner, name, stack in whole:
            owner._modules[name] = stack


def _stacks(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.ModuleList]]:
    """The lists of modules in `module` that stand in no other list, and where they are."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield module, name, child
        else:
            yield from _stacks(child)


def _kept(stack: nn.ModuleList) -> int:
    """How many first layers of `stack` are of every kind that is in it, and two at least.

    The first layer's states may be in a form (normalised, say) that hides what it does to them.
    """
    seen: set[Any] = set()
    kept = min(2, len(stack))
    for number, layer in enumerate(stack):
        kind = _kind(layer)
        if kind not in seen:
            seen.add(kind)
            kept = max(kept, number + 1)
    return kept


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """What tells layers apart, but for their weights and their numbers."""
    parts: list[Any] = []
    for name, module in layer.named_modules():
        settings = tuple(
            (key, value)
            for key, value in sorted(vars(module).items())
            if isinstance(value, (bool, int, float, str, tuple, type(None)))
            and not any(number in key for number in LAYER_NUMBERS)
        )
        shapes = tuple((key, p.shape, p.dtype) for key, p in module.named_parameters(recurse=False))
        parts.append((name, type(module).__qualname__, repr(settings), shapes))
    return tuple(parts)
