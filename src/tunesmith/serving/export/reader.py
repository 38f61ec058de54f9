"""An export asked as by those who have nothing else: messages in, its own template, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tunesmith.tasks.columns import pad
from tunesmith.training.evaluation import by_length, in_given_order


def read_answers(
    model: Any, tokenizer: Any, chats: Sequence[Sequence[Mapping[str, str]]], rows_at_once: int
) -> list[str]:
    """What `model` says to `chats`, by its own generation settings and `tokenizer`'s template."""
    examples = [
        tokenizer.apply_chat_template(list(chat), add_generation_prompt=True, return_dict=True)
        for chat in chats
    ]
    batches = by_length(examples, rows_at_once)
    said: list[str] = []
    for batch in batches:
        prompts = [{"input_ids": list(examples[number]["input_ids"])} for number in batch]
        inputs = pad(prompts, {"input_ids": tokenizer.pad_token_id}, left=True)
        given = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        with torch.inference_mode():
            tokens = model.generate(**given)[:, given["input_ids"].shape[1] :]
        said += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in in_given_order(said, batches)]
