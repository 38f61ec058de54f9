"""What varies by family of models, as far as it must be known before one is loaded.

The rest is asked of the loaded model itself. The architecture suite (`tests/architectures`) holds
what stands here against every family that the installed transformers has a head for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PADDING = {
    **dict.fromkeys(
        ("camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke",
         "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
        1,
    ),
    "markuplm": 0,
}  # fmt: skip
"""Families that count positions from behind their padding token's → that token, where not given."""
_ALWAYS = {"mpnet": 1}
"""The same where the configuration's padding token isn't asked."""

NAMED_OTHERWISE = frozenset(
    ("blt", "convbert", "ctrl", "dbrx", "falcon_h1", "falcon_mamba", "gemma3n_text", "git",
     "gte", "hrm_text", "jina_embeddings_v3", "lfm3", "mamba", "mamba2", "mt5", "nemotron_h",
     "nomic_bert", "phi4_multimodal", "reformer", "t5", "t5gemma2", "umt5")
)  # fmt: skip
"""Families of which the files' names don't say what is adapted: layers are called otherwise once
they are loaded, some matrices are no layers, or some layers may not be adapted."""


def positions_reserved(model_type: str, settings: Mapping[str, Any]) -> int:
    """How many of the model's positions no token of a text can take; `settings`: `config.json`.

    RoBERTa and what came of it count from `pad_token_id + 1` on: 514 positions are 512 tokens.
    """
    if model_type in _ALWAYS:
        return _ALWAYS[model_type] + 1
    if model_type not in PADDING or settings.get("position_embedding_type", "absolute") == "rotary":
        return 0
    padding = settings.get("pad_token_id")
    return (PADDING[model_type] if padding is None else int(padding)) + 1
