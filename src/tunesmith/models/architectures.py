"""What varies by family of models: names of settings, layers, norms and heads, and what they mean.

Nothing else names a family or a part of one. What transformers says of every model alike
(`can_generate`, `get_text_config`, `base_model_prefix`) is asked of the model where it is needed.
No torch: most of this is wanted before a model is loaded. The architecture suite
(`tests/architectures`) holds it against every family that transformers has a head for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]
"""A model's `config.json`, or its part about text."""

# Settings

SIZES = {
    "layers": ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    "hidden": ("hidden_size", "dim", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_heads", "n_head", "num_heads"),
    "inner": ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim", "d_ff"),
}
"""What families call their sizes."""
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_HEADS_THAT_WRITE = ("CausalLM", "LMHead")


def size_of(settings: Settings, name: str) -> int:
    """One of `SIZES`; 0 where the settings don't tell it."""
    return next((v for n in SIZES[name] if isinstance(v := settings.get(n), int)), 0)


def text_part(config: Settings) -> Settings:
    """The part of a whole `config.json` about text: all of it where it reads nothing else."""
    return config.get("text_config") or config


def positions(settings: Settings) -> list[Any]:
    """What the settings say of how many tokens a text may have."""
    reserved = positions_reserved(str(settings.get("model_type", "")), settings)
    limits = [settings.get(key) for key in _LENGTHS]
    return [limit - reserved if isinstance(limit, int) else limit for limit in limits]


def has_experts(settings: Settings) -> bool:
    """Whether its feed-forward parts are experts, of which a token takes some."""
    return any("expert" in key for key in settings)


def writes_text(config: Settings) -> bool:
    """Whether the model that the files hold writes text; the others understand it."""
    named = map(str, config.get("architectures") or [])
    return any(head in name for name in named for head in _HEADS_THAT_WRITE)


# Padding and positions

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


def positions_reserved(model_type: str, settings: Settings) -> int:
    """How many of the model's positions no token of a text can take.

    RoBERTa and what came of it count from `pad_token_id + 1` on: 514 positions are 512 tokens.
    """
    if model_type in _ALWAYS:
        return _ALWAYS[model_type] + 1
    if model_type not in PADDING or settings.get("position_embedding_type", "absolute") == "rotary":
        return 0
    padding = settings.get("pad_token_id")
    return (PADDING[model_type] if padding is None else int(padding)) + 1


# Layers

NAMED_OTHERWISE = frozenset(
    ("blt", "convbert", "ctrl", "dbrx", "falcon_h1", "falcon_mamba", "gemma3n_text", "git",
     "gte", "hrm_text", "jina_embeddings_v3", "lfm3", "mamba", "mamba2", "mt5", "nemotron_h",
     "nomic_bert", "phi4_multimodal", "reformer", "t5", "t5gemma2", "umt5")
)  # fmt: skip
"""Families of which the files' names don't say what is adapted: layers are called otherwise once
they are loaded, some matrices are no layers, or some layers may not be adapted."""
ROUTERS = frozenset(("gate", "router", "shared_expert_gate", "wg"))
"""What layers are called that choose experts: a choice that moves is no small change."""
LAYER_NUMBERS = ("idx", "index", "layer_id", "layer_number", "block_id")
"""Parts of the names of attributes that number a layer, and make it no other kind."""
_SENSES = re.compile("vision|visual|image|video|audio|speech")
_GATED = re.compile(r"\bgate(_up)?_proj$|\bwi_1$")


def in_block(name: str) -> bool:
    """Whether a module of this name stands in one of the numbered blocks."""
    return any(part.isdigit() for part in name.split("."))


def is_embedding(tensor: str) -> bool:
    """Whether a tensor of this name holds an embedding."""
    return "embed" in tensor.lower()


def is_gated(module: str) -> bool:
    """Whether a feed-forward part with this module multiplies two products (SwiGLU, say)."""
    return _GATED.search(module) is not None


def sees_or_hears(setting: str) -> bool:
    """Whether the configuration called so is that of a part for pictures or sound."""
    return _SENSES.search(setting) is not None


def is_rms_norm(module: object) -> bool:
    """Whether a module is called a root mean square normalisation; there are variants (Gemma's)."""
    return type(module).__name__.endswith("RMSNorm")


def epsilon_of(norm: Any) -> float | None:
    """What a norm adds to the mean of squares."""
    return getattr(norm, "variance_epsilon", getattr(norm, "eps", None))


def labels_tokens(model: object) -> bool:
    """Whether the head of a loaded model gives logits for each token."""
    return "ForTokenClassification" in type(model).__name__


# Attention

NOT_FUSED = frozenset(
    ("big_bird", "bigbird_pegasus", "bloom", "bros", "canine", "codegen", "convbert", "cpmant",
     "deberta", "deberta-v2", "deepseek_v4", "falcon_mamba", "flaubert", "flint", "fnet", "funnel",
     "gemma2", "git", "got_ocr2", "gpt_neo", "gpt_neox_japanese", "gpt_oss", "gptj", "granite_swa",
     "granitemoe_swa", "hy_v4", "ibert", "inkling2_text", "layoutlmv2", "layoutlmv3", "lilt",
     "longformer", "luke", "mamba", "mamba2", "markuplm", "megatron-bert", "mimo_v2_flash",
     "mpnet", "mpt", "mra", "mvp", "nystromformer", "openai-gpt", "openai_privacy_filter",
     "perceiver", "prophetnet", "reformer", "rembert", "roformer", "rwkv", "squeezebert",
     "t5gemma", "tapas", "trocr", "vaultgemma", "xglm", "xlm", "xlnet", "xlstm", "yoso")
)  # fmt: skip
"""Families that don't take PyTorch's fused attention: `auto` is their own code."""
_DROPOUT = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")


def drops_attention(settings: Settings) -> bool:
    """Whether some shares of attention are dropped in training."""
    return any(settings.get(name) for name in _DROPOUT)


WINDOWS = frozenset(("sliding_window", "window_size"))
"""What families call a window when they hand it to attention; their masks hold it too."""


def heads_of(config: Any) -> tuple[int, int, int]:
    """Heads, heads of keys and values, and the size of each; `config` is a loaded model's."""
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    return heads, groups, getattr(config, "head_dim", None) or config.hidden_size // heads


def kept_per_token(config: Any) -> int:
    """Numbers in the keys and values of a token in all layers; `config` is a loaded model's.

    0 where it doesn't tell, as of a model without attention.
    """
    layers = getattr(config, "num_hidden_layers", None)
    if not layers or not getattr(config, "num_attention_heads", None):
        return 0
    _, groups, size = heads_of(config)
    return int(2 * layers * groups * size)


@dataclass(frozen=True)
class EncoderLayer:
    """What the parts of a layer are called in encoders after one pattern.

    What is added to a part's input and normalised is one module that takes both, or two: what is
    added, and the norm.
    """

    attention: str
    """The module with the head's size and the dropout of attention."""
    projections: tuple[str, str, str]
    """Query, key and value."""
    attended: tuple[str, ...]
    """What is made of attention's result, beside the layer's input."""
    inner: str | None
    """What comes before the last."""
    output: tuple[str, ...]
    """What is made of `inner`'s result, beside its input."""
    known_by: tuple[str, ...]
    """Modules that only such layers have together."""


ENCODER_LAYERS = (
    EncoderLayer(  # BERT
        "attention.self", ("query", "key", "value"), ("attention.output",), "intermediate",
        ("output",),
        ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"),
    ),
    EncoderLayer(  # DistilBERT
        "attention", ("q_lin", "k_lin", "v_lin"), ("attention.out_lin", "sa_layer_norm"), None,
        ("ffn", "output_layer_norm"),
        ("attention.q_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1"),
    ),
)  # fmt: skip

# GGUF

GGUF_FAMILY = "llama"
"""The `model_type` that is written as GGUF, and GGUF's own name for it."""
GGUF_ROTATED = {".q_proj.": 0, ".k_proj.": 1}
"""Matrices whose rows llama.cpp turns in another order → what of `heads_of` counts their heads."""
_PHI_3 = re.compile("phi-?3", re.IGNORECASE)


def gguf_name(name: str) -> str:
    """A model's name in its GGUF file: llama.cpp reads texts otherwise where it is one of Phi-3's,
    whatever the model is.
    """
    return _PHI_3.sub("phi", name)
