"""A batch of texts as one row, in which what all begin with stands once.

Chats of one data set begin alike: with the model's system prompt, with the words of a template. A
causal model's states there depend on nothing that follows, so that every text has the same ones.
They are computed once, every text attends to them, and gradients flow back into them from all.

    padded batch     packed row
    S S S a b        S S S a b  c d  e f
    S S S c d
    S S S e f

Everything but attention looks at one token at a time, and needs to know nothing of this. Attention
is given the layout; only an implementation that reads it may be used, `PACKED`. Each text attends
to all before it, and to nothing else: a model whose own mask or scores say otherwise (a window,
chunks, distances) isn't given packed rows. That is tried (`training.kernels.install`).

Two answers to one prompt share more, with each other alone: `paired` puts both of a pair into one
row, and a mask keeps the second from seeing the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.tasks.base import Batch
from tunesmith.tasks.parts.columns import IGNORED

if TYPE_CHECKING:
    import torch

PACKED = "tunesmith"
"""The implementation of attention, by transformers' name for it, that reads a layout."""
PADDED = "tunesmith_padded"
"""The same for models whose own masks are needed: it is given padded rows alone."""


@dataclass(frozen=True)
class Layout:
    """Where the texts stand in a packed row: `shared` tokens, then `rows` of `tokens` each."""

    shared: int
    rows: int
    tokens: int


def packs(model: Any) -> bool:
    """Whether `model` can be given a packed row, as it is now."""
    return model.training and bool(model.config._attn_implementation == PACKED)


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


@dataclass(frozen=True)
class Texts:
    """The texts of a batch of pairs for one pass through a model, and where their targets are."""

    inputs: dict[str, Any]
    """Arguments of the model's forward."""
    seen: tuple[torch.Tensor, torch.Tensor]
    """Row and token of the state that each target is predicted from: shapes (targets,)."""
    targets: torch.Tensor
    """Ids of the tokens to predict."""
    owners: torch.Tensor
    """The text that each target is of: the first answers' in their order, then the second's."""
    places: torch.Tensor
    """Where each target stands in its text."""
    shape: tuple[int, int]
    """Pairs, and tokens of the longest text."""

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over each text of `values`, (targets,), as (2, pairs).

        Always in the same order, which adding up by `owners` isn't on a GPU.
        """
        pairs, longest = self.shape
        spread = values.new_zeros(2 * pairs, longest)
        return spread.index_put((self.owners, self.places), values).sum(dim=1).view(2, pairs)


def stacked(batch: Batch) -> Texts:
    """A batch of pairs as rows of a text each, the first answers' before the second's."""
    import torch
    from torch.nn import functional

    longest = max(batch["input_ids"].shape[1], batch["rejected_ids"].shape[1])

    def both(one: str, other: str, fill: int) -> torch.Tensor:
        parts = (batch[one], batch[other])
        return torch.cat(
            [functional.pad(part, (0, longest - part.shape[1]), value=fill) for part in parts]
        )

    labels = both("labels", "rejected_labels", IGNORED)
    rows, places = torch.nonzero(labels != IGNORED, as_tuple=True)
    return Texts(
        {
            "input_ids": both("input_ids", "rejected_ids", 0),
            "attention_mask": both("attention_mask", "rejected_mask", 0),
            "use_cache": False,
        },
        (rows, places - 1),
        labels[rows, places],
        rows,
        places,
        (len(batch["input_ids"]), longest),
    )


def paired(batch: Batch) -> Texts:
    """A batch of pairs as rows of a pair each: the prompt, the first answer, the second one."""
    import torch

    texts = stacked(batch)
    pairs = len(batch["input_ids"])
    first, second = batch["input_ids"], batch["rejected_ids"]
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    others = batch["rejected_mask"].sum(dim=1).tolist()
    starts = [_prompt_length(batch, number) for number in range(pairs)]
    longest = max(a + b - s for a, b, s in zip(lengths, others, starts, strict=True))
    ids = first.new_zeros(pairs, longest)
    positions = torch.arange(longest, device=first.device).repeat(pairs, 1)
    hidden = torch.ones(longest, longest, dtype=torch.bool, device=first.device).triu(1)
    hidden = hidden.repeat(pairs, 1, 1)
    for number, (a, b, start) in enumerate(zip(lengths, others, starts, strict=True)):
        ids[number, :a] = first[number, :a]
        ids[number, a : a + b - start] = second[number, start:b]
        positions[number, a:] -= a - start
        hidden[number, a:, start:a] = True
    mask = torch.zeros(hidden.shape, device=first.device).masked_fill_(hidden, -torch.inf)
    is_second = texts.owners >= pairs
    owners = texts.owners % pairs
    begin, end = torch.tensor([starts, lengths], device=first.device)[:, owners]
    # The second answer stands behind the first one, but for its first token's state: the prompt's.
    moved = is_second & (texts.places > begin)
    seen = texts.places - 1 + moved * (end - begin)
    inputs = {
        "input_ids": ids, "position_ids": positions, "attention_mask": mask[:, None],
        "use_cache": False,
    }  # fmt: skip
    return replace(texts, inputs=inputs, seen=(owners, seen))


def _prompt_length(batch: Batch, number: int) -> int:
    """How many first tokens both texts of a pair share, up to the first target of either."""
    shorter = min(batch["input_ids"].shape[1], batch["rejected_ids"].shape[1])
    same = batch["input_ids"][number, :shorter] == batch["rejected_ids"][number, :shorter]
    for name in ("labels", "rejected_labels"):
        same = same & (batch[name][number, :shorter] == IGNORED)
    both = batch["attention_mask"][number, :shorter] * batch["rejected_mask"][number, :shorter]
    return int((same & both.bool()).long().cumprod(dim=0).sum())
