"""Answers of a chat model, generated: the likeliest token each time, and nothing else.

transformers fills whatever a `GenerationConfig` leaves open from the base model's own
`generation_config.json`: penalties, sampling, forbidden tokens. What an adapter is worth must not
depend on it, so while something is generated here the model has no such settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tunesmith.errors import ModelError
from tunesmith.tasks.parts.columns import pad

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
    """Tokens of the greedy answers to `prompts`, ends included, at most `max_new_tokens` each.

    Raises ModelError where transformers can't generate with this model.
    """
    settings = likeliest(max_new_tokens, ends, pad_token_id)
    answers: dict[int, list[int]] = {}
    with generating(model) as base:
        for together in _fitting(base, prompts, pad_token_id):
            rows = [prompts[n] for n in together]
            output = _generated(base, rows, pad_token_id, settings)
            width = max(map(len, rows))
            answers |= zip(together, output[:, width:].tolist(), strict=True)
    return [_through_end(answers[n], ends) for n in range(len(prompts))]


def require_generation(model: Any, pad_token_id: int) -> None:
    """Raise ModelError where transformers can't generate with `model`, before it is trained."""
    import torch

    training = model.training
    model.eval()  # dropout would draw numbers
    try:
        with generating(model) as base, torch.no_grad():
            _generated(base, [[pad_token_id]], pad_token_id, likeliest(1, [], pad_token_id))
    finally:
        model.train(training)


def _generated(base: Any, rows: Sequence[Sequence[int]], pad_token_id: int, settings: Any) -> Any:
    """Prompts and answers of transformers' own model, padded; Raises ModelError."""
    examples = [{"input_ids": list(row)} for row in rows]
    inputs = pad(examples, {"input_ids": pad_token_id}, left=True)
    try:
        return base.generate(
            **{name: tensor.to(base.device) for name, tensor in inputs.items()},
            generation_config=settings,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            "the base model can't answer: transformers' generation failed with {kind}: "
            "{error}. Choose another model as model.name.",
            kind=type(error).__name__,
            error=" ".join(str(error).split()),
        ) from error


def _fitting(
    base: Any, prompts: Sequence[Sequence[int]], pad_token_id: int
) -> Iterable[Sequence[int]]:
    """Numbers of the prompts that are answered together: all, or those of one length each.

    Some models without attention read what is filled up as text, whatever the mask says.
    """
    lengths = {len(prompt) for prompt in prompts}
    if len(lengths) < 2 or not _reads_padding(base, min(prompts, key=len), pad_token_id):
        return [range(len(prompts))]
    return [[n for n, one in enumerate(prompts) if len(one) == length] for length in lengths]


_READ_PADDING: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _reads_padding(base: Any, prompt: Sequence[int], pad_token_id: int) -> bool:
    """Whether `base` says otherwise what follows `prompt` when it is filled up on the left."""
    if base not in _READ_PADDING:
        settings = likeliest(1, [], pad_token_id)
        settings.update(return_dict_in_generate=True, output_scores=True)
        longer = [pad_token_id] * 8 + list(prompt)  # beside it the other one is filled up
        alone, beside = (
            _generated(base, rows, pad_token_id, settings).scores[0][0].float()
            for rows in ([prompt], [prompt, longer])
        )
        margin = 0.02 * float(alone.abs().max())
        _READ_PADDING[base] = float((alone - beside).abs().max()) > margin
    return _READ_PADDING[base]


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
