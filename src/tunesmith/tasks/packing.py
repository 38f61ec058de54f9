"""A batch of texts as one row, in which what all begin with stands once.

Chats of one data set begin alike: with the model's system prompt, with the words of a template. A
causal model's states there depend on nothing that follows, so that every text has the same ones.
They are computed once, every text attends to them, and gradients flow back into them from all.

    padded batch     packed row
    S S S a b        S S S a b  c d  e f
    S S S c d
    S S S e f

Everything but attention looks at one token at a time, and needs to know nothing of this. Attention
is given the layout; only an implementation that reads it may be used, `ATTENTION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ATTENTION = "tunesmith"
"""The implementation of attention, by transformers' name for it, that reads a layout."""


@dataclass(frozen=True)
class Layout:
    """Where the texts stand in a packed row: `shared` tokens, then `rows` of `tokens` each."""

    shared: int
    rows: int
    tokens: int


def packs(model: Any) -> bool:
    """Whether `model` can be given a packed row, as it is now."""
    return model.training and bool(model.config._attn_implementation == ATTENTION)


def shared_length(input_ids: torch.Tensor, wanted: torch.Tensor) -> int:
    """How many first tokens all rows share, up to the first at which an answer is wanted.

    `input_ids` and `wanted` have shape (rows, tokens).
    """
    same = (input_ids == input_ids[:1]).all(dim=0) & ~wanted.any(dim=0)
    return min(int(same.long().cumprod(dim=0).sum()), input_ids.shape[1] - 1)


def shares(model: Any) -> bool:
    """Whether the texts of a batch may share states: not with dropout, which differs by text."""
    import torch

    text = model.config.get_text_config(decoder=True)
    if getattr(text, "attention_dropout", 0.0) or getattr(text, "attn_pdrop", 0.0):
        return False
    return not any(m.p for m in model.modules() if isinstance(m, torch.nn.Dropout))


def packed(input_ids: torch.Tensor, shared: int) -> dict[str, Any]:
    """The arguments of a model's forward for `input_ids`, (rows, tokens) and padded on the right.

    The first `shared` tokens are those of every row. What comes out has shape (1, shared + rows x
    (tokens - shared), …). Padding needs no mask: no token sees what follows it.
    """
    import torch

    rows, tokens = input_ids.shape
    rest = tokens - shared
    places = torch.arange(tokens, device=input_ids.device)
    return {
        "input_ids": torch.cat([input_ids[0, :shared], input_ids[:, shared:].flatten()])[None],
        "position_ids": torch.cat([places[:shared], places[shared:].repeat(rows)])[None],
        # transformers leaves one of four dimensions as it is; the attention makes its own.
        "attention_mask": torch.zeros(1, 1, 1, 1, device=input_ids.device),
        "layout": Layout(shared, rows, rest),
        "use_cache": False,
    }
