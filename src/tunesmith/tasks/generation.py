"""Answers of a chat model, generated: the likeliest token each time, and nothing else.

transformers fills whatever a `GenerationConfig` leaves open from the base model's own
`generation_config.json`: penalties, sampling, forbidden tokens. What an adapter is worth must not
depend on it, so while something is generated here the model has no such settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunesmith.tasks.columns import pad

if TYPE_CHECKING:
    import torch


def likeliest(max_new_tokens: int, ends: Sequence[int], pad_token_id: int | None) -> Any:
    """Settings to take the likeliest token each time, until one of `ends`."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=pad_token_id,
        eos_token_id=sorted(ends),
    )


@contextmanager
def generating(model: Any) -> Iterator[Any]:
    """The model within `model`, without generation settings of its own, fit for many texts.

    While generating the head sees the last token of every text, with the others' memory between
    them; for such an input PyTorch copies the vocabulary's matrix once for each text (64 texts of
    SmolLM2: 3.6 GB for every token generated). So it is given its input as one piece of memory.
    """
    from transformers import GenerationConfig

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(),)
    )
    own, base.generation_config = base.generation_config, GenerationConfig()
    try:
        yield base
    finally:
        base.generation_config = own
        handle.remove()


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Sequence[int],
    pad_token_id: int,
) -> list[list[int]]:
    """Tokens of the greedy answers to `prompts`, ends included, at most `max_new_tokens` each."""
    device = next(model.parameters()).device
    examples = [{"input_ids": list(prompt)} for prompt in prompts]
    inputs = pad(examples, {"input_ids": pad_token_id}, left=True)
    with generating(model) as base:
        output = base.generate(
            **{name: tensor.to(device) for name, tensor in inputs.items()},
            generation_config=likeliest(max_new_tokens, ends, pad_token_id),
        )
    return [
        _through_end(answer, ends) for answer in output[:, inputs["input_ids"].shape[1] :].tolist()
    ]


def _through_end(answer: list[int], ends: Sequence[int]) -> list[int]:
    """`answer` without the padding after its end."""
    first = next((n for n, token in enumerate(answer) if token in ends), len(answer))
    return answer[: first + 1]


def surely_greedy(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each target is the likeliest token, and whether it leads so that no rounding matters.

    In a batch of another shape logits come out otherwise by some units in the last place of the
    largest, in the format that the model computes in. Shapes (targets,).
    """
    import torch

    best = logits.topk(2, dim=-1)
    largest = float(logits.abs().max()) if logits.numel() else 0.0
    margin = max(16 * torch.finfo(logits.dtype).eps * largest, 1e-3)
    return best.indices[:, 0] == targets, best.values[:, 0] - best.values[:, 1] > margin
