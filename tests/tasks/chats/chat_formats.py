"""Chat formats as models bring them, and a tokenizer that gives every text back exactly."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "<|begin|>{% for message in messages %}<|header|>{{ message['role'] }}<|/header|>\n\n"
    "{{ message['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
)
MISTRAL = (
    "<s>{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('no system turns here') }}{% endif %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %} {{ message['content'] }}</s>{% endif %}{% endfor %}"
)
FORGETS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and not loop.last %}(left out)"
    "{% else %}{{ message['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Keeps the last answer only, as models that think do with their thoughts."""
OPENS_OTHERWISE = CHATML.replace("assistant\n{% endif %}", "assistant\nSure: {% endif %}")
"""Opens the answer with what a conversation in its data doesn't have."""
NO_END = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""Has no token that ends an answer."""

END = {CHATML: "<|im_end|>", LLAMA3: "<|eot|>", MISTRAL: "</s>", FORGETS: "<|im_end|>"}
"""Chat format → the token that ends an answer."""

SPECIAL = [
    "<|pad|>", "<|im_start|>", "<|im_end|>", "<|begin|>", "<|header|>", "<|/header|>", "<|eot|>",
    "<s>", "</s>",
]  # fmt: skip


def byte_tokenizer(
    template: str | None = None, *, padding: bool = True, end: str | None = "</s>"
) -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each byte and each word of `SPECIAL`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>" if padding else None,
        eos_token=END.get(template, end) if template else end,
        additional_special_tokens=SPECIAL,
    )
    fast.chat_template = template
    return fast


def tiny_llama(tokenizer: Any) -> Any:
    """A Llama with random weights for this tokenizer's vocabulary, in evaluation mode."""
    torch.set_num_threads(1)  # matrices this small are slower on more
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()
