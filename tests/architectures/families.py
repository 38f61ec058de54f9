"""Every family that the installed transformers has a head for, as tiny random models.

A configuration is made small by the names of its fields: sizes, layers, heads, experts, windows.
What that doesn't reach stands in `SPECIAL`; what can't be tiny in `NOT_COVERED`, with a reason.
"""

from __future__ import annotations

import re
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

HEADS = {
    "AutoModelForSequenceClassification": (
        modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    ),
    "AutoModelForTokenClassification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
"""The classes that tasks load, and what transformers has for each: family → class."""
FAMILIES = sorted({family for names in HEADS.values() for family in names})

VOCABULARY, WORDS, POSITIONS, WINDOW = 128, 60, 64, 8
"""Tokens, those of which texts are made, positions, and a window's length, where there is one."""
_RULES: tuple[tuple[str, Any], ...] = (
    (r"(^|_)vocab_size$|^n_vocab$", VOCABULARY),
    (r"type_vocab_size", None),
    (
        r"(num_hidden|num_encoder|num_decoder|encoder|decoder)_layers$"
        r"|^(n_layers?|num_layers|num_hidden_layers|depth)$",
        2,
    ),
    (r"max_(target_|source_)?position(_embedding)?s$|^n_positions$|^n_ctx$"
     r"|^max_seq(uence)?_len(gth)?$|^seq_length$|^context_length$|^model_max_length$", POSITIONS),
    (r"num_key_value_heads|num_kv_heads|^n_kv_heads|multi_query_group_num|num_query_groups", 2),
    (r"(^|_)(num_attention|num|n|encoder_attention|decoder_attention|linear_num_\w+)_heads?$", 4),
    (r"head_dim$|^d_kv$|head_size$|^kv_channels$|_head_dim$", 8),
    (r"moe_intermediate_size|shared_expert_intermediate_size|expert_\w*size$", 16),
    (r"intermediate_size|ffn_hidden|^n_inner$|ffn_dim$|^d_ff$|^hidden_dim$|^d_inner$"
     r"|feed_forward", 48),
    (r"hidden_size$|^d_model$|^dim$|^n_embd$|^embed_dim$|^d_embed$|^emb_dim$|^hidden_sizes$", 32),
    (r"embedding_size$|^embedding_dim$", 32),
    (r"sliding_window$|window_size$|^local_attention$|attention_window$|attention_chunk_size$"
     r"|_window$|chunk_size$|^block_size$|^floor_scale$", WINDOW),
    (r"^num_\w*experts$|^n_routed_experts$|^moe_num_experts$|^n_experts$", 4),
    (r"experts_per_tok|^moe_k$|^moe_top_?k$|^num_experts_per_token$|^top_k_experts$", 2),
    (r"^n_group$|^topk_group$|^num_expert_groups?$", 1),
    (r"lora_rank|_rank$", 16),
    (r"^pad_token_id$", 0),
    (r"^(bos|cls|decoder_start)_token_id$", 1),
    (r"^(eos|sep)_token_id$", 2),
    (r"_token_(id|index)$", 3),
    (r"^rotary_(dim|ndims)$", 8),
    (r"state_size$|^mamba_d_state$|^conv_kernel$|^d_conv$", 8),
)  # fmt: skip
_KINDS = ("layer_types", "mlp_layer_types", "layers_block_type", "attention_layers")
"""Fields that give each layer's kind."""
_ALL_HEADS = {"num_key_value_heads": 4}
_HEAD_SIZE = {"head_dim": 8}
_PER_LAYER = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY}
_INDEXER = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8,
            "indexer_budget": 8, "indexer_compress_ratio": 2}  # fmt: skip
_ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "blt": {
        "encoder_hash_byte_group_vocab": 64, "encoder_hash_byte_group_size": [3, 4],
        "encoder_config": {**_ALL_HEADS, "hidden_size_global": 64},
        "decoder_config": {**_ALL_HEADS, "hidden_size_global": 64},
        "global_config": {**_ALL_HEADS, "hidden_size": 64, "head_dim": 16},
        "patcher_config": _ALL_HEADS,
    },
    "canine": {"local_transformer_stride": WINDOW},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2,
        "logit_scale": 1.0, "rope_parameters": {
            "sliding_attention": _ROPE, "full_attention": _ROPE,
        },
    },
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
             "ffn_config": {
        "hidden_size": 32, "ffn_hidden_size": 48, "moe_top_k": 2}},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
              "layer_types": ["sliding_attention", "full_attention"]},
    "esm": {"vocab_size": VOCABULARY, "pad_token_id": 0, "mask_token_id": 3},
    "esmc": _ALL_HEADS,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
              "expert_layer_offset": 1, "mamba_dt_rank": 8},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "lilt": {"hidden_size": 48},
    "longcat_flash": {"qk_head_dim": 16},
    "mobilebert": {"intra_bottleneck_size": 32, "hidden_size": 64, "embedding_size": 32},
    "nemotron_h": {"n_groups": 2, "mamba_n_groups": 2, "mamba_num_heads": 8, "mamba_head_dim": 8,
                   "chunk_size": 8},
    "mistral4": {"head_dim": 16, "qk_head_dim": 16},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "xmod": {"default_language": "en_XX"},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "gemma3n_text": {"num_kv_shared_layers": 0, "num_hidden_layers": 2,
                     "layer_types": ["sliding_attention", "full_attention"],
                     "intermediate_size": [48, 48],
                     "activation_sparsity_pattern": [0.0, 0.0], **_PER_LAYER},
    "gemma4": {"text_config": _PER_LAYER},
    "gemma4_text": _PER_LAYER,
    "got_ocr2": {"vision_config": {"global_attn_indexes": [1], "image_size": 32, "patch_size": 8}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": _HEAD_SIZE,
    "hunyuan_v1_moe": _HEAD_SIZE,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "n_groups": 2},
    "markuplm": {"max_depth": 4, "xpath_unit_hidden_size": 8},
    "ministral": _HEAD_SIZE,
    "nemotron": {"num_key_value_heads": 2},
    "perceiver": {"num_latents": 8, "d_latents": 32, "num_self_attends_per_block": 2,
                  "num_self_attention_heads": 4, "num_cross_attention_heads": 4},
    "qwen2": {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
    "qwen3": {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "reformer": {"max_position_embeddings": 24, "axial_pos_shape": [4, 6],
                 "axial_pos_embds_dim": [16, 16], "hash_seed": 0,
                 "attn_layers": ["local", "lsh"], "local_attn_chunk_length": 6,
                 "lsh_attn_chunk_length": 6, "feed_forward_size": 48, "num_buckets": 2},
    "t5": {"decoder_start_token_id": 0}, "mt5": {"decoder_start_token_id": 0},
    "umt5": {"decoder_start_token_id": 0},
    "zamba": {"num_hidden_layers": 4, "attention_hidden_size": 64, "attention_head_dim": 16,
              "layers_block_type": ["linear_attention", "hybrid"] * 2,
              "mamba_dt_rank": 8, "use_mamba_kernels": False},
}  # fmt: skip
"""Family → fields of its configuration that the rules don't find."""
SPREAD = {"mobilebert": 0.08, "mt5": 0.1, "t5": 0.1, "umt5": 0.1}
"""Deviation of the weights of families that normalise little: others' would grow out of float32."""
NOT_COVERED: dict[str, str] = {
    "deepseek_v4": "no small sizes were found that its rotated part of a head fits",
    "dots3_note": "its smallest model has 38 million weights, and a step takes a minute",
    "dots3_note_text": "its smallest model has 38 million weights, and a step takes a minute",
    "zamba2": "no small sizes were found that its Mamba layers' norms fit",
    "gemma3n": "its picture encoder is a model of the package timm, which isn't installed",
    "gemma4_assistant": "it drafts for another model, whose keys and values it reads",
    "gemma4_unified_assistant": "it drafts for another model, whose keys and values it reads",
    "layoutlmv2": "its picture encoder is a model of the package detectron2, which isn't installed",
    "musicgen": "the class that transformers lists can't be made from its configuration",
    "musicgen_melody": "the class that transformers lists can't be made from its configuration",
}
"""Family → why it can't be made tiny."""


def tiny_config(family: str) -> PreTrainedConfig:
    """A small configuration of `family`."""
    kind = CONFIG_MAPPING[family]
    fields = _small(kind())
    fields = _merged(fields, SPECIAL.get(family, {}))
    return kind(**fields)


def tiny_model(family: str, head: str, **more: Any) -> Any:
    """A model of `family` with random weights, in evaluation mode, eager where it knows that."""
    config = tiny_config(family)
    for name, value in more.items():
        setattr(config, name, value)
    if family == "reformer":
        config.is_decoder = head == "AutoModelForCausalLM"
    torch.manual_seed(0)
    model = getattr(transformers, head).from_config(config)
    _make_telling(model, SPREAD.get(family, 0.2))
    return model.eval()


def _make_telling(model: torch.nn.Module, spread: float) -> None:
    """Give `model` weights under which its parts differ: what is new hardly attends to anything."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise * spread)
            elif re.search(r"norm|ln_|layer_norm", name, re.IGNORECASE):
                parameter.add_(noise * 0.2)


def _small(config: PreTrainedConfig) -> dict[str, Any]:
    """The fields of `config` that are made small."""
    fields: dict[str, Any] = {}
    kinds = {
        name: list(dict.fromkeys(value))
        for name, value in vars(config).items()
        if name in _KINDS and isinstance(value, list) and value
    }
    layers = max([2, *map(len, kinds.values())])
    for name, value in vars(config).items():
        if name.startswith("_"):
            continue
        if name in kinds:  # one layer of each kind
            of = kinds[name]
            fields[name] = [of[min(n, len(of) - 1)] for n in range(layers)]
            continue
        if isinstance(value, PreTrainedConfig):
            fields[name] = {**_small(value), "model_type": value.model_type}
        elif isinstance(value, float) and re.search(r"drop|jitter|noise", name):
            fields[name] = 0.0
        elif isinstance(value, int) and not isinstance(value, bool):
            small = next((small for rule, small in _RULES if re.search(rule, name)), None)
            if small == 2 and re.search(r"layers?$", name):
                small = layers
            if "key_value" in name and "kv_lora_rank" in vars(config):
                small = 4  # keys and values come out of one small vector, for every head
            if small is not None and (value > small or name.endswith("token_id")):
                fields[name] = small
    return fields


def _merged(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    merged = dict(fields)
    for name, value in more.items():
        inner = merged.get(name)
        merged[name] = (
            _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged
