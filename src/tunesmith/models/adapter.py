"""The adapter: LoRA weights put into a base model, saved whole, and loaded again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.config.patterns import are_names, check_patterns, matching
from tunesmith.config.schema import LoraConfig
from tunesmith.errors import ConfigError, ModelError, Problem, listed, nearest
from tunesmith.messages import say
from tunesmith.models.layers import find_layers, holds_transposed, last_of, matrices


def add_adapter(
    model: Any, lora: LoraConfig, *, task_type: str, fresh_modules: list[str], quantized: bool
) -> Any:
    """`model` with an adapter as `lora` says, in training precision float32.

    `fresh_modules` start at random in the base model (a new classifier head), so they are trained
    whole and saved with the adapter; otherwise a reloaded adapter would meet other random weights.
    Raises ConfigError when the layers named don't exist.
    """
    import peft

    targets = lora.target_modules
    if targets is None:
        targets = find_layers(model, fresh_modules)
        if not targets:
            message = say("the blocks of this model hold no linear layer to put an adapter on")
            accepted = say("names of its modules, or another model")
            raise ConfigError([Problem("lora.target_modules", message, accepted=accepted)])
    _check_names(model, lora, targets, fresh_modules)
    if quantized:
        model = peft.prepare_model_for_kbit_training(model)
    saved = sorted({*(lora.modules_to_save or []), *_largest_fresh(model, fresh_modules)})
    config = peft.LoraConfig(
        task_type=task_type,
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        target_modules=targets,
        exclude_modules=[name for name in fresh_modules if name] or None,
        lora_dropout=lora.lora_dropout,
        bias=lora.bias,
        use_dora=lora.use_dora,
        use_rslora=lora.use_rslora,
        init_lora_weights=lora.init_lora_weights,
        modules_to_save=saved or None,
        rank_pattern=dict(lora.rank_pattern),
        alpha_pattern=dict(lora.alpha_pattern),
        fan_in_fan_out=holds_transposed(model),
    )
    try:
        _name_layers(config, model)
        adapted = peft.get_peft_model(model, config)
    except ValueError as error:
        said = str(error).strip().split("\n")[0]
        about_targets = "target" in said.lower() or "no layer that" in said
        field = "lora.target_modules" if about_targets else "lora"
        raise ConfigError([Problem(field, said)]) from error
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def _check_names(model: Any, lora: LoraConfig, targets: list[str] | str, fresh: list[str]) -> None:
    """Raise ConfigError for names that no module of `model` has: PEFT passes over some of them."""
    names = [name for name, _ in model.named_modules() if name]
    there = {part for name in names for part in (name, last_of(name))}
    wanted = {
        "lora.modules_to_save": (lora.modules_to_save or [], say("module"), there),
        "lora.target_modules": (targets if isinstance(targets, list) else [], say("layer"), None),
    }
    problems = []
    for field, (given, what, known) in wanted.items():
        accepted = matrices(model, fresh) if known is None else []
        for name in given:
            if any(f".{module}".endswith(f".{name}") for module in names):
                continue
            message = say("the model has no {what} of this name", what=what)
            listed_names = ", ".join([*accepted, "all-linear"]) if accepted else None
            near = nearest(name, accepted or there)
            problems.append(Problem(field, message, name, listed_names, near))
    if problems:
        raise ConfigError(problems)


def _name_layers(config: Any, model: Any) -> None:
    """Put names of modules of `model` in the place of the patterns of PEFT's `config`.

    PEFT would match them with an engine that backtracks. Raises ValueError for what is no pattern.
    """
    import peft

    base = model.get_base_model() if isinstance(model, peft.PeftModel) else model
    names = [name for name, _ in base.named_modules() if name]
    adaptable = [*names, *(name for name, _ in base.named_parameters())]
    for field in ("target_modules", "exclude_modules"):
        pattern = getattr(config, field)
        if isinstance(pattern, str) and pattern.lower() != "all-linear":
            check_patterns([pattern])
            found = set(matching(pattern, names))
            if not found and field == "target_modules":
                raise ValueError(f"the model has no layer that {pattern!r} matches")
            setattr(config, field, found)
    for field in ("rank_pattern", "alpha_pattern"):
        wanted: Mapping[str, int] = getattr(config, field) or {}
        named: dict[str, int] = {}
        check_patterns(pattern for pattern in wanted if not are_names(pattern))
        for pattern, value in wanted.items():
            if not are_names(pattern):
                # Experts whose weights are one parameter have no module each.
                pattern = "|".join(matching(rf"(?:.*\.)?(?:{pattern})", adaptable))
            if pattern:
                named.setdefault(pattern, value)
        setattr(config, field, named)
    for name in (*(config.modules_to_save or ()), *(config.layers_pattern or ())):
        if not are_names(name):
            raise ValueError(f"{name!r} is no name of a module")


def save_adapter(model: Any, tokenizer: Any, folder: Path, base_reference: str) -> None:
    """Write the adapter and the tokenizer into `folder` as PEFT does; the base is a reference."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_reference
    # "auto" would ask the hub whether the vocabulary grew; ours never does.
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)


def load_adapter(base: Any, folder: Path, name: str = "default") -> Any:
    """The adapter in `folder` on the `base` model, active and ready to predict.

    `base` is a fresh base model, or what this gave for another `name`: then both share it, and
    `set_adapter` chooses between them. Raises ModelError when the folder holds none that fits.
    """
    import peft
    from safetensors import SafetensorError

    try:
        config = peft.LoraConfig.from_pretrained(str(folder))
        if not isinstance(config, peft.LoraConfig):
            raise ValueError("it is no LoRA adapter")
        config.inference_mode = True
        _name_layers(config, base)
        with warnings.catch_warnings():  # what is missing is looked for below
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            if isinstance(base, peft.PeftModel):
                base.add_adapter(name, config)
                base.load_adapter(folder, name, is_trainable=False)
                base.set_adapter(name)
                model = base.eval()
            else:
                model = peft.PeftModel.from_pretrained(
                    base, folder, adapter_name=name, is_trainable=False, config=config
                ).eval()
        # Layers saved whole were float32 in training, but were read into copies of the base's own,
        # which may hold fewer bits: make room, and read them again.
        for parameter_name, parameter in model.named_parameters():
            if f".modules_to_save.{name}." in parameter_name:
                parameter.data = parameter.data.float()
        weights = peft.load_peft_weights(str(folder), device=str(model.device))
        loaded: Any = peft.set_peft_model_state_dict(model, weights, adapter_name=name)
        left_open = _fill(model, weights, name, loaded.missing_keys)
        if left_open:
            raise ValueError(say("it holds no weights for {layers}", layers=listed(left_open)))
        return model
    except (ValueError, OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(
            "the adapter in {folder} can't be loaded: {error}", folder=folder, error=error
        ) from error


def _fill(model: Any, weights: Mapping[str, Any], name: str, missing: Sequence[str]) -> list[str]:
    """Fill what PEFT found no weights for, and return what stays without.

    PEFT renames weights as transformers does older checkpoints', and with some families' rules
    misses what already has its name: it would be left at random.
    """
    import torch

    own = dict(model.named_parameters())
    left_open = []
    for key in missing:
        saved = weights.get(key.replace(f".{name}.weight", ".weight"))
        if ".lora_" not in key or f".{name}." not in key:
            continue
        if saved is None or saved.shape != own[key].shape:
            left_open.append(key)
            continue
        with torch.no_grad():
            own[key].copy_(saved)
    return left_open


def adapted_layers(model: Any) -> list[str]:
    """The layers that have an adapter, as PEFT was given them: their names, or the ends of these.

    Of "all-linear" PEFT keeps names that are left out, too: those of a new head.
    """
    (config,) = model.peft_config.values()
    adapted = [f".{name}" for name in model.targeted_module_names]
    return sorted(
        t for t in config.target_modules if any(name.endswith(f".{t}") for name in adapted)
    )


def count_parameters(model: Any) -> tuple[int, int]:
    """How many parameters train, and how many there are."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable, sum(p.numel() for p in model.parameters())


def trainable_weights(model: Any) -> dict[str, Any]:
    """Copies of the weights that train, by name, in main memory."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@contextmanager
def with_weights(model: Any, weights: Mapping[str, Any]) -> Iterator[None]:
    """Within this, `model` computes with `weights`, by name, in place of its own."""
    own = {name: p.data for name, p in model.named_parameters() if name in weights}
    parameters = dict(model.named_parameters())
    for name, data in own.items():
        parameters[name].data = weights[name].to(data.device)
    try:
        yield
    finally:
        for name, data in own.items():
            parameters[name].data = data


def _largest_fresh(model: Any, fresh: list[str]) -> list[str]:
    """The largest modules of `model` that hold nothing but `fresh` ones.

    RoBERTa's head is `classifier` with `dense` and `out_proj` in it: PEFT saves it whole, and takes
    `dense` alone for every layer of that name.
    """
    owners = [name for name, module in model.named_modules() if list(module.parameters(False))]
    largest = set()
    for module in fresh:
        name = module
        while parent := name.rpartition(".")[0]:
            inside = {owner for owner in owners if f"{owner}.".startswith(f"{parent}.")}
            if not inside <= set(fresh):
                break
            name = parent
        largest.add(name)
    return sorted(largest)
