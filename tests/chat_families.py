# ruff: noqa: RUF001
"""Tiny chat models of each template family, whose base models set every odd way to generate.

Tokenizers are byte-level BPE, trained on the test's own texts; templates are written here in the
manner of each family, with its own names of control tokens. Weights are random.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHATML = (
    "{%- for message in messages %}"
    "{%- if loop.first and message['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""Has a system turn of its own where none is given, as Qwen2.5 and SmolLM2 do."""

LLAMA_3 = (
    "{%- set loop_messages = messages %}"
    "{%- for message in loop_messages %}"
    "{%- set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{%- if loop.index0 == 0 %}{%- set content = bos_token + content %}{%- endif %}"
    "{{- content }}{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)

GEMMA = (
    "{{- bos_token }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set first_user_prefix = messages[0]['content'] + '\\n\\n' %}"
    "{%- set loop_messages = messages[1:] %}"
    "{%- else %}{%- set first_user_prefix = '' %}{%- set loop_messages = messages %}{%- endif %}"
    "{%- for message in loop_messages %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant') }}"
    "{%- endif %}"
    "{%- if message['role'] == 'assistant' %}{%- set role = 'model' %}"
    "{%- else %}{%- set role = message['role'] %}{%- endif %}"
    "{{- '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}"
    "{{- message['content'] | trim }}{{- '<end_of_turn>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"
)
"""Knows no system role: it stands before what the user says first."""

MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}"
    "{%- else %}{%- set loop_messages = messages %}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in loop_messages %}"
    "{%- if message['role'] == 'user' %}"
    "{%- if loop.first and system_message is defined %}"
    "{{- '[INST] ' + system_message + '\\n\\n' + message['content'] + ' [/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + ' [/INST]' }}{%- endif %}"
    "{%- elif message['role'] == 'assistant' %}"
    "{{- ' ' + message['content'] | trim + eos_token }}"
    "{%- else %}{{- raise_exception('Only user and assistant roles are supported') }}"
    "{%- endif %}{%- endfor %}"
)
"""Opens no turn for the answer: it begins with a space that the generation prompt lacks."""

MISTRAL_LAST = MISTRAL.replace("loop.first and system", "loop.last and system")
"""As of Mistral 7B v0.3: the system prompt stands in the last user's turn, and only while no answer
follows it."""

PHI_3 = (
    "{%- for message in messages %}"
    "{%- if message['role'] in ('system', 'user', 'assistant') %}"
    "{{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}"
    "{%- else %}{{- eos_token }}{%- endif %}"
)
"""Ends a conversation, not an answer, with its end of text."""

QWEN_3 = (
    "{%- if messages[0].role == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- set ns = namespace(last_query_index=messages|length - 1) %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}"
    "{%- set ns.last_query_index = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{%- set content = message.content %}{%- set reasoning_content = '' %}"
    "{%- if '</think>' in content %}"
    "{%- set reasoning_content = content.split('</think>')[0].rstrip('\\n')"
    ".split('<think>')[-1].lstrip('\\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}"
    "{{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n')"
    " + '\\n</think>\\n\\n' + content.lstrip('\\n') }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + content }}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
"""Thinks unless told not to; only the last answer of a conversation keeps its thoughts."""

R1 = (
    "{%- set ns = namespace(system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{%- set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}"
    "{{- bos_token }}{{- ns.system_prompt }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{- '<｜User｜>' + message['content'] }}{%- endif %}"
    "{%- if message['role'] == 'assistant' %}{%- set content = message['content'] %}"
    "{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}"
    "{%- endif %}{{- '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{%- endif %}"
)
"""Opens a thought in the generation prompt; conversations keep none."""


@dataclass(frozen=True)
class Family:
    """How the models of a family write a chat."""

    name: str
    template: str
    special: tuple[str, ...]
    """Its control tokens; begin and end of text among them."""
    end: str
    """The token that closes an answer."""
    eos: str
    """What the tokenizer calls the end of a text, which may be another."""
    architecture: str
    """transformers' `model_type` of the models that brought the template."""
    bos: str | None = None
    pad: str | None = None
    thinks: bool = False
    """Whether answers begin with thoughts unless something prevents it."""


_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINK = ("<think>", "</think>")
_R1_TOKENS = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
    "<｜▁pad▁｜>",
)  # fmt: skip

FAMILIES = {
    family.name: family
    for family in (
        Family("chatml", CHATML, _IM, "<|im_end|>", "<|im_end|>", "qwen2", pad="<|endoftext|>"),
        Family("chatml-other-end", CHATML, _IM, "<|im_end|>", "<|endoftext|>", "qwen2"),
        Family(
            "llama-3", LLAMA_3,
            ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
             "<|eot_id|>", "<|finetune_right_pad_id|>"),
            "<|eot_id|>", "<|eot_id|>", "llama",
            bos="<|begin_of_text|>", pad="<|finetune_right_pad_id|>",
        ),
        Family(
            "gemma", GEMMA, ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
            "<end_of_turn>", "<eos>", "gemma", bos="<bos>", pad="<pad>",
        ),
        Family("mistral", MISTRAL, ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"), "</s>", "</s>",
               "mistral", bos="<s>"),
        Family("mistral-last", MISTRAL_LAST, ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"), "</s>",
               "</s>", "mistral", bos="<s>"),
        Family(
            "phi-3", PHI_3,
            ("<s>", "</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
            "<|end|>", "<|endoftext|>", "phi3", bos="<s>", pad="<|endoftext|>",
        ),
        Family("qwen-3", QWEN_3, (*_IM, *_THINK), "<|im_end|>", "<|im_end|>", "qwen3",
               pad="<|endoftext|>", thinks=True),
        Family("r1", R1, (*_R1_TOKENS, *_THINK), "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
               "llama", bos="<｜begin▁of▁sentence｜>", pad="<｜▁pad▁｜>", thinks=True),
    )
}  # fmt: skip
"""By name."""

ODD_GENERATION: dict[str, Any] = {
    "do_sample": True, "temperature": 1.7, "top_p": 0.6, "top_k": 3, "min_p": 0.05,
    "typical_p": 0.9, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "num_beams": 2,
    "length_penalty": 2.0, "early_stopping": True, "num_return_sequences": 2, "max_length": 24,
    "min_new_tokens": 6, "exponential_decay_length_penalty": [2, 1.5], "renormalize_logits": True,
    "return_dict_in_generate": True, "output_scores": True, "forced_eos_token_id": 0,
    "suppress_tokens": [40, 41, 42], "begin_suppress_tokens": [50, 51, 52, 53],
    "stop_strings": ["e"], "use_cache": False,
}  # fmt: skip
"""What a base model's `generation_config.json` may say: each field changes what is answered."""


def chat_tokenizer(family: Family, texts: Sequence[str], *, size: int = 420) -> Any:
    """A byte-level BPE of about `size` tokens, trained on `texts`, with the family's template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    thinking = [token for token in family.special if token in _THINK]
    control = [token for token in family.special if token not in thinking]
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=control,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    model.add_tokens([AddedToken(token, normalized=False) for token in thinking])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token=family.pad,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = family.template
    return tokenizer


def save_chat_model(
    folder: Path,
    family: Family,
    texts: Sequence[str],
    *,
    architecture: str | None = None,
    seed: int = 0,
    generation: dict[str, Any] | None = None,
) -> Path:
    """Save a tiny model of `family` with its tokenizer into `folder`, and return that.

    `architecture` is transformers' `model_type`, where it shall be another than the family's own.
    Its `generation_config.json` says `generation`, by default everything odd.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = chat_tokenizer(family, texts)
    tokenizer.save_pretrained(folder)
    torch.set_num_threads(1)  # matrices this small are slower on more
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        architecture or family.architecture,
        vocab_size=(len(tokenizer) + 31) // 32 * 32,
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=512, initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    said = {**(ODD_GENERATION if generation is None else generation),
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    (folder / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
