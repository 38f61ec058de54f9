"""Loading a base model and its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ModelError, first_line
from tunesmith.loading import uncollected
from tunesmith.messages import say
from tunesmith.models.locate import ModelSource

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")


def load_tokenizer(source: ModelSource) -> Any:
    """The model's tokenizer, also of a GGUF file that wasn't converted. Raises ModelError when
    there is none."""
    with uncollected():
        from transformers import AutoTokenizer
    place: dict[str, Any] = {"pretrained_model_name_or_path": source.folder}
    if source.folder.is_file():
        place = {
            "pretrained_model_name_or_path": source.folder.parent,
            "gguf_file": source.folder.name,
        }
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            **place, trust_remote_code=source.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            "the tokenizer of {name} can't be loaded from {folder}: {error}",
            name=source.name,
            folder=source.folder,
            error=first_line(error),
        ) from error
    # From a folder without a vocabulary transformers makes a tokenizer that knows no word at all.
    known = set(tokenizer("one word", add_special_tokens=False)["input_ids"])
    if known <= {tokenizer.unk_token_id} and not any(
        path for pattern in _VOCABULARIES for path in source.folder.glob(pattern)
    ):
        raise ModelError(
            "{name} holds no tokenizer: no tokenizer.json in {folder}.",
            name=source.name,
            folder=source.folder,
        )
    return tokenizer


def load_base(
    source: ModelSource,
    *,
    auto_class: str,
    arguments: dict[str, Any],
    weights: str,
    attention: str | None,
    device: str,
    quantize_bits: int | None = None,
) -> tuple[Any, list[str]]:
    """The base model with frozen `weights` in that number format, on `device`, in evaluation mode.

    `attention` is an implementation that transformers knows; None leaves the choice to the model.

    Returns it with the modules whose weights the folder doesn't hold: they start at random, so they
    must be trained and saved with the adapter. Raises ModelError when it can't be loaded.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    options = _quantized(quantize_bits, device) if quantize_bits else {}
    try:
        model, report = getattr(transformers, auto_class).from_pretrained(
            source.folder,
            config=_configuration(source, arguments),
            dtype=getattr(torch, weights),
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=source.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # a head for other labels is made anew
            **options,
        )
    except torch.OutOfMemoryError:
        raise  # the engine says what to do about it
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, TypeError,
            AttributeError, AssertionError) as error:  # fmt: skip
        raise ModelError(
            "{name} can't be loaded: {error}", name=source.name, error=first_line(error)
        ) from error
    fresh = _fresh_modules(model, report, source.name)
    if not quantize_bits:
        model = model.to(device)
    return model.eval(), fresh


def _fresh_modules(model: Any, report: Mapping[str, Any], name: str) -> list[str]:
    """The modules without weights in the files. Raises ModelError where they stand in the body."""
    mismatched = {str(item[0]) for item in report["mismatched_keys"]}
    absent = {key for key in report["missing_keys"] if re.search(r"\.\d+\.", key)}
    body = f"{model.base_model_prefix}."
    if wrong := sorted(key for key in mismatched | absent if key.startswith(body)):
        raise ModelError(
            say(
                "{name} can't be loaded: its weights don't fit its config.json ({wrong}",
                name=name,
                wrong=wrong[0],
            )
            + (say(" and {n} more).", n=len(wrong) - 1) if len(wrong) > 1 else ").")
        )
    fresh = {key.rpartition(".")[0] for key in mismatched | set(report["missing_keys"])}
    return sorted(fresh - {""})


def _configuration(source: ModelSource, arguments: dict[str, Any]) -> Any:
    """The model's configuration with `arguments` in it, the padding token in its part for text."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        source.folder, trust_remote_code=source.trust_remote_code, **arguments
    )
    if "pad_token_id" in arguments:
        for part in (config, config.get_text_config()):
            part.pad_token_id = arguments["pad_token_id"]
    return config


def _quantized(bits: int, device: str) -> dict[str, Any]:
    """What `from_pretrained` takes to hold the weights in so few bits."""
    import torch
    import transformers

    config = transformers.BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}
