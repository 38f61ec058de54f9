"""Synthetic texts, on which a model is tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedConfig

from tunesmith.tasks.base import Batch
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.packing import packed, paired, shares, stacked
from tunesmith.training.kernels.trial import Reading

SHARED = 5
"""First tokens that the texts share."""
SHORTEST = 12
"""Tokens of the longest text at least."""


def texts(model: Any, longest: int = SHORTEST) -> dict[str, torch.Tensor]:
    """Three texts of up to `longest` tokens, padded on the right; `SHARED` first ones the same."""
    config = model.config
    longest = max(longest, SHORTEST)
    lengths = torch.tensor([longest, longest * 3 // 4, longest // 2 + 1])
    ids = _words(model)[torch.randint(1 << 30, (3, longest), generator=_generator()) % 997]
    ids[:, :SHARED] = ids[0, :SHARED]
    mask = torch.arange(longest) < lengths[:, None]
    end = _number(config, "eos_token_id")
    if config.is_encoder_decoder and end is not None:  # their heads read what stands there
        ids[torch.arange(3), lengths - 1] = end
    padding = _number(config, "pad_token_id") or 0
    ids = ids.masked_fill(~mask, padding)
    return {"input_ids": ids.to(model.device), "attention_mask": mask.long().to(model.device)}


def padded_texts(model: Any, longest: int, *, tokens: bool) -> Reading:
    """The texts as rows. Compared is what comes of each row, or of its `tokens`."""
    inputs = texts(model, longest)
    mask = inputs["attention_mask"].bool()
    return Reading(inputs, (lambda found: found[mask]) if tokens else (lambda found: found))


def packed_texts(model: Any, longest: int) -> Reading:
    """The same texts as one row, by tokens."""
    inputs = texts(model, longest)
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    shared = SHARED if shares(model) else 0

    def by_text(found: torch.Tensor) -> torch.Tensor:
        rest = found[0, shared:].view(len(ids), -1, found.shape[-1])
        first = found[0, :shared].expand(len(ids), -1, -1)
        return torch.cat([first, rest], dim=1)[mask]

    return Reading(packed(ids, shared), by_text)


def pairs(model: Any, longest: int) -> tuple[Reading, Reading]:
    """Two pairs of texts as four rows, and as two."""
    inputs = texts(model, longest)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, :SHARED] = IGNORED
    batch: Batch = {}
    for rows, names in (
        ([0, 2], ("input_ids", "attention_mask", "labels")),
        ([1, 0], ("rejected_ids", "rejected_mask", "rejected_labels")),
    ):
        batch |= {n: t[rows] for n, t in zip(names, (ids, mask, labels), strict=True)}
    both = [stacked(batch), paired(batch)]
    one, other = (Reading(t.inputs, lambda found, seen=t.seen: found[seen]) for t in both)  # type: ignore[misc]
    return one, other


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _words(model: Any) -> torch.Tensor:
    """997 tokens of the vocabulary, none of which means anything to `model`: shape (997,)."""
    size = len(model.get_input_embeddings().weight)
    vocabulary = _number(model.config.get_text_config(), "vocab_size")
    marks = set(_marks(model.config))
    drawn = torch.randint(min(size, vocabulary or size), (2000,), generator=_generator()).tolist()
    plain = [token for token in drawn if token not in marks] or drawn
    return torch.tensor((plain * (997 // len(plain) + 1))[:997])


def _marks(config: PreTrainedConfig) -> Iterator[int]:
    """Tokens that `config` names: beginnings, ends, padding, where pictures stand."""
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield from _marks(value)
        elif name.endswith(("_token_id", "_token_ids", "_token_index")):
            yield from (v for v in (value if isinstance(value, list) else [value]) if v is not None)


def _number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) else None
