"""The last layer of a classifier that reads the first token alone: computed for that token.

Encoders after BERT's pattern classify a text by what their last layer makes of its first token.
The others' states there are read by nobody; only their keys and values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tunesmith.training.kernels.attention import padded
from tunesmith.training.kernels.trial import Reading, Trial, in_use


class _FirstToken:
    """Put before a class of layers: (rows, tokens, size) to (rows, 1, size) while it trains."""

    first: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
    """What the layer makes of the first token of the states, given them and the mask."""

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: Any = None, *more: Any, **kwargs: Any
    ) -> Any:
        """The layer's output for the first token; `attention_mask` as the models' own."""
        if not in_use(self):  # type: ignore[arg-type]
            return super().forward(hidden_states, attention_mask, *more, **kwargs)  # type: ignore[misc]
        return self.first(hidden_states, attention_mask)


class _Bert(_FirstToken):
    attention: Any
    intermediate: Any
    output: Any

    def first(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        own, token = self.attention.self, states[:, :1]
        found = _attend(own, own.query(token), own.key(states), own.value(states), mask)
        attended = self.attention.output(found, token)
        return self.output(self.intermediate(attended), attended)  # type: ignore[no-any-return]


class _DistilBert(_FirstToken):
    attention: Any
    sa_layer_norm: Any
    ffn: Any
    output_layer_norm: Any

    def first(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        own, token = self.attention, states[:, :1]
        found = _attend(own, own.q_lin(token), own.k_lin(states), own.v_lin(states), mask)
        attended = self.sa_layer_norm(own.out_lin(found) + token)
        return self.output_layer_norm(self.ffn(attended) + attended)  # type: ignore[no-any-return]


_PATTERNS = {
    _Bert: ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"),
    _DistilBert: ("attention.q_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1"),
}
"""Kind of layer → modules by which it is known."""
_Layer = tuple[nn.Module, type[_FirstToken]]
"""A layer, and what computes it."""


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
    layer, kernel = next(each for each in reversed(layers) if each[0] in there)
    kind = type(layer)
    _put_kernel(layer, kernel)
    try:
        yield
    finally:
        layer.__class__ = kind


def _put_kernel(layer: nn.Module, kernel: type[_FirstToken]) -> None:
    layer.__class__ = type(type(layer).__name__, (kernel, type(layer)), {})


def _layers(model: nn.Module) -> list[_Layer]:
    """The layers after one of the patterns, in their order."""
    modules = dict(model.named_modules())
    return [
        (module, kernel)
        for name, module in modules.items()
        for kernel, pattern in _PATTERNS.items()
        if all(f"{name}.{part}" in modules for part in pattern)
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
