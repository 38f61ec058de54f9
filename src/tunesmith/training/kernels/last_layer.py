"""The last layer of a classifier that reads the first token alone: computed for that token.

Encoders after BERT's pattern classify a text by what their last layer makes of its first token.
The others' states there are read by nobody; only their keys and values are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tunesmith.models.architectures import ENCODER_LAYERS, EncoderLayer
from tunesmith.training.kernels.attention import padded
from tunesmith.training.kernels.trial import Reading, Trial, in_use


class _FirstToken:
    """Put before a class of layers: (rows, tokens, size) to (rows, 1, size) while it trains."""

    pattern: EncoderLayer

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: Any = None, *more: Any, **kwargs: Any
    ) -> Any:
        """The layer's output for the first token; `attention_mask` as the models' own."""
        if not in_use(self):  # type: ignore[arg-type]
            return super().forward(hidden_states, attention_mask, *more, **kwargs)  # type: ignore[misc]
        return _first(self, self.pattern, hidden_states, attention_mask)


def _first(
    layer: Any, pattern: EncoderLayer, states: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """What `layer` makes of the first token of `states`."""
    own, token = layer.get_submodule(pattern.attention), states[:, :1]
    query, key, value = (getattr(own, name) for name in pattern.projections)
    found = _attend(own, query(token), key(states), value(states), mask)
    attended = _added(layer, pattern.attended, found, token)
    inner = attended if pattern.inner is None else getattr(layer, pattern.inner)(attended)
    return _added(layer, pattern.output, inner, attended)


def _added(
    layer: Any, names: Sequence[str], states: torch.Tensor, before: torch.Tensor
) -> torch.Tensor:
    """What the modules called so make of `states`, added to those `before` and normalised."""
    first, *norm = (layer.get_submodule(name) for name in names)
    found: torch.Tensor = norm[0](first(states) + before) if norm else first(states, before)
    return found


_Layer = tuple[nn.Module, EncoderLayer]
"""A layer, and what its parts are called."""


def use(model: Any, trial: Trial, plain: Reading) -> bool | None:
    """Compute the last layer of `model`, a classifier with an adapter, for the first token alone.

    Left as it is, and False returned, where the model's answers in `trial` are others then: its
    head may read more than the first token. None where there is no such layer.
    """
    layers = _layers(model)
    if not layers:
        return None
    if not trial.agrees(plain, using=lambda: _kernel_in(model, layers)):
        return False
    _put_kernel(*layers[-1])
    return True


def use_untried(model: Any) -> None:
    """The same for a `model` of which it is known to give the same answers."""
    _put_kernel(*_layers(model)[-1])


@contextmanager
def _kernel_in(model: nn.Module, layers: Sequence[_Layer]) -> Iterator[None]:
    """Within this, the last of `layers` that `model` has, as short as it is now, has its kernel."""
    there = set(model.modules())
    layer, pattern = next(each for each in reversed(layers) if each[0] in there)
    kind = type(layer)
    _put_kernel(layer, pattern)
    try:
        yield
    finally:
        layer.__class__ = kind


def _put_kernel(layer: nn.Module, pattern: EncoderLayer) -> None:
    kind = type(layer)
    layer.__class__ = type(kind.__name__, (_FirstToken, kind), {"pattern": pattern})


def _layers(model: nn.Module) -> list[_Layer]:
    """The layers after one of the patterns, in their order."""
    modules = dict(model.named_modules())
    return [
        (module, pattern)
        for name, module in modules.items()
        for pattern in ENCODER_LAYERS
        if all(f"{name}.{part}" in modules for part in pattern.known_by)
        and not getattr(module, "is_decoder", False)
    ]


def _attend(
    own: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any
) -> torch.Tensor:
    """Attention of the queries' tokens: all given as (rows, tokens, heads x size)."""
    size = own.attention_head_size
    q, k, v = (p.view(*p.shape[:-1], -1, size).transpose(1, 2) for p in (query, key, value))
    if mask is not None and mask.shape[-2] > 1:
        mask = mask[..., :1, :]
    share = own.dropout.p if own.training else 0.0
    return padded(q, k, v, mask, size**-0.5, share).flatten(2)
