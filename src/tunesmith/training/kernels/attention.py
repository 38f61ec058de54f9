"""Attention for the short texts of a CPU: plain matrix products, packed rows, cheap dropout.

PyTorch's fused attention has a slow backward there; transformers' `eager` copies keys and values
for every group of heads, and draws dropout's random numbers one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from tunesmith.models.architectures import WINDOWS
from tunesmith.tasks.parts.packing import PACKED, PADDED, Layout
from tunesmith.training.kernels import dropout as cheap
from tunesmith.training.kernels import trial

_KNOWN = frozenset(
    ("is_causal", "position_ids", "use_cache", "output_attentions", "output_hidden_states",
     "return_dict", "cache_position", "past_key_values", "past_key_value", "num_items_in_batch")
)  # fmt: skip
"""What models hand to attention that changes nothing here, whatever it is."""


_counting: list[list[nn.Module]] = []


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What transformers' attention functions take and give.

    `query` has shape (rows, heads, tokens, size), `key` and `value` (rows, groups, seen, size),
    `attention_mask` (rows or 1, 1, tokens, seen), added to the scores. The result has shape (rows,
    tokens, heads, size). With `layout`, the one row is packed, and the mask not looked at.
    """
    layout: Layout | None = kwargs.pop("layout", None)
    unknown = [
        name
        for name, value in kwargs.items()
        if value is not None and value is not False and name not in _KNOWN | WINDOWS
    ]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is not None and unknown:
        raise NotImplementedError(f"packed texts, and attention with {', '.join(unknown)}")
    for calls in _counting if not unknown else ():
        calls.append(module)
    if layout is not None:
        return _packed(query * scale, key, value, layout, dropout), None
    if unknown or not trial.in_use(module):
        eager = sys.modules[type(module).__module__].eager_attention_forward
        return eager(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    return padded(query, key, value, attention_mask, scale, dropout), None


class _Attention(torch.autograd.Function):
    """Attention of padded rows, whose backward needs neither scores nor sums over them.

    As FlashAttention (Dao et al. 2022, appendix B.4): with weights `P`, result `o` and its gradient
    `g`, the gradient of the scores is `P (g v' - sum(g o))`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
        share: float,
    ) -> torch.Tensor:
        rows, heads, tokens, size = query.shape
        groups = key.shape[1]
        # The heads of one group read the same keys: they are stacked.
        q = _dense(query, scale).view(rows * groups, -1, size)
        k, v = (_dense(part).view(rows * groups, -1, size) for part in (key, value))
        scores = q @ k.transpose(1, 2)
        if mask is not None:
            scores.view(rows, heads, tokens, -1).add_(mask)
        weights = _softmax(scores)
        kept = cheap.kept(weights, share) if share else None
        found = (weights if kept is None else weights * kept) @ v
        ctx.save_for_backward(q, k, v, weights, kept, found)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape)
        return found.view(query.shape).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        q, k, v, weights, kept, found = ctx.saved_tensors
        of_query, of_key = ctx.shapes
        gradient = _dense(grad.transpose(1, 2)).view(found.shape)
        into_value = (weights if kept is None else weights * kept).transpose(1, 2) @ gradient
        scores = gradient @ v.transpose(1, 2)
        if kept is not None:
            scores.mul_(kept)
        scores.sub_((gradient * found).sum(-1, keepdim=True)).mul_(weights)
        into_query = (scores @ k).mul_(ctx.scale)
        into_key = scores.transpose(1, 2) @ q
        return (
            into_query.view(of_query), into_key.view(of_key), into_value.view(of_key),
            None, None, None,
        )  # fmt: skip


padded: Callable[..., torch.Tensor] = _Attention.apply
"""Attention as in `attention`, of queries, keys, values, mask, scale, and the share dropped."""


def _dense(x: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """`x`, times `scale`, its numbers in the order of its dimensions."""
    if scale is None:
        return x.contiguous()
    return torch.mul(x, scale, out=torch.empty(x.shape, dtype=x.dtype, device=x.device))


def _packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, share: float
) -> torch.Tensor:
    """Causal attention within each text of a packed row, and to what all of them share."""
    heads, size, groups = query.shape[1], query.shape[3], key.shape[1]
    shared, rows, tokens = layout.shared, layout.rows, layout.tokens
    times = heads // groups
    # (groups, times, rows, tokens, size): head number `times * group + i` reads that group's keys.
    queries = query[0, :, shared:].reshape(groups, times, rows, tokens, size).transpose(1, 2)
    own_keys = key[0, :, shared:].reshape(groups * rows, tokens, size)
    own_values = value[0, :, shared:].reshape(groups * rows, tokens, size)
    by_text = queries.reshape(groups * rows, times * tokens, size)
    own = _causal(by_text @ own_keys.transpose(1, 2), tokens)
    if not shared:
        found = _weights(own, share) @ own_values
        return _in_order(found, groups, rows, times, tokens)[None]
    first_keys, first_values = key[0, :, :shared], value[0, :, :shared]
    by_group = by_text.view(groups, -1, size)
    first = (by_group @ first_keys.transpose(1, 2)).view(groups * rows, times * tokens, shared)
    weights = _weights(torch.cat([first, own], dim=-1), share)
    of_first = weights[..., :shared].reshape(groups, -1, shared) @ first_values
    found = (weights[..., shared:] @ own_values).add_(of_first.view(groups * rows, -1, size))
    begun = query[0, :, :shared].reshape(groups, times * shared, size)
    scores = _causal(begun @ first_keys.transpose(1, 2), shared)
    begin = _weights(scores, share) @ first_values
    return torch.cat(
        [
            _in_order(begin, groups, 1, times, shared),
            _in_order(found, groups, rows, times, tokens),
        ]
    )[None]


def _causal(scores: torch.Tensor, tokens: int) -> torch.Tensor:
    """`scores`, (…, times x tokens, tokens), without those of what comes later."""
    later = torch.full((tokens, tokens), -torch.inf, dtype=scores.dtype, device=scores.device)
    scores.view(scores.shape[0], -1, tokens, tokens).add_(later.triu_(1))
    return scores


def _in_order(found: torch.Tensor, groups: int, rows: int, times: int, tokens: int) -> torch.Tensor:
    """(groups x rows, times x tokens, size) to (rows x tokens, heads, size)."""
    parts = found.view(groups, rows, times, tokens, -1).permute(1, 3, 0, 2, 4)
    return parts.reshape(rows * tokens, groups * times, -1)


def _weights(scores: torch.Tensor, share: float) -> torch.Tensor:
    """Shares of attention; torch computes them in float32 where `scores` hold fewer bits."""
    weights = _softmax(scores)
    return cheap.dropout(weights, share) if share else weights


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    """In float32 at least: on a CPU short rows of fewer bits take five times as long."""
    exact = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax(scores, dim=-1, dtype=exact).to(scores.dtype)


@contextmanager
def counted() -> Iterator[list[nn.Module]]:
    """Within this, the modules whose attention was computed here are added to the list given."""
    calls: list[nn.Module] = []
    _counting.append(calls)
    try:
        yield calls
    finally:
        _counting.remove(calls)


def register() -> None:
    """Make this attention known to transformers, by both of its names."""
    for name in (PACKED, PADDED):
        AttentionInterface.register(name, attention)
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
