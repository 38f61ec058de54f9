"""Which parts of a model get a kernel: those with which it gives what it gives without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from tunesmith.messages import joined, say
from tunesmith.models.architectures import labels_tokens
from tunesmith.tasks.parts.packing import PACKED, PADDED
from tunesmith.training.evidence.evaluation import autocast
from tunesmith.training.kernels import attention, dropout, last_layer, lora, norm, synthetic
from tunesmith.training.kernels.trial import Reading, Trial, reason
from tunesmith.training.plan import Plan
from tunesmith.training.ranks.group import Group

EAGER = "eager"


@dataclass
class Kernels:
    """Which kernels a model has: what another process needs to know to use the same."""

    count: dict[str, int] = field(default_factory=dict)
    """What has a kernel → how many of it."""
    attention: str | None = None
    """Our implementation of attention, by transformers' name for it."""
    first_token: bool = False
    """Whether the last layer is computed for the first token alone."""
    together: list[list[str]] = field(default_factory=list)
    """Names of layers that are computed together."""
    notes: list[str] = field(default_factory=list)
    """What has no kernel, and why."""

    def __str__(self) -> str:
        counted = [say("{number} {what}", number=n, what=what) for what, n in self.count.items()]
        return joined(filter(None, [joined(counted, ", "), *self.notes]), "; ")


def install_kernels(
    model: Any,
    plan: Plan,
    group: Group | None = None,
    *,
    longest: int = synthetic.SHORTEST,
    pairs: bool = False,
) -> Kernels:
    """Give the parts of `model` that have a kernel theirs, for as long as it trains.

    `model` has its adapter, and is in evaluation mode. `longest` is the number of tokens of the
    longest text to learn from; `pairs` says that two texts make a row. What none fits stays as it
    is, which is everything in a model that can't read synthetic texts. The first process of `group`
    decides for all: they may differ in the memory that is free.
    """
    group = group or Group()
    tried = _tried(model, plan, longest, pairs=pairs) if group.leads else None
    of_first = group.first(tried and asdict(tried))
    return tried or _repeated(Kernels(**of_first), model, plan)


def _tried(model: Any, plan: Plan, longest: int, *, pairs: bool) -> Kernels:
    """`model` given the kernels that fit it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(inner, PreTrainedModel):
        return Kernels(_use_in_parts(model, plan))
    try:
        plain, packed = _readings(inner, longest, pairs=pairs)
    except Exception as error:  # noqa: BLE001 - of a model that wants more than texts
        return Kernels(notes=[say("none: {why}", why=reason(error, plan.device))])
    trial = Trial(model, _computes(inner), plain)
    if trial.why_not is not None:
        return Kernels(notes=[say("none: {why}", why=trial.why_not)])
    kinds = {module: type(module) for module in model.modules()}
    used = Kernels(_use_in_parts(model, plan))
    if not trial.agrees(plain):
        for module, kind in kinds.items():
            module.__class__ = kind
        return Kernels(notes=[say("none: {why}", why=trial.why_not)])
    if plan.own_attention:
        _use_attention(used, trial, plain, packed)
    if plan.device == "cpu" and "LoRA layers" in used.count:  # now that it is known what they read
        _join(used, plan, trial, plain, packed)
    if not used.count:
        used.notes.append(say("none: no part of this model has one"))
    return used


def _repeated(kernels: Kernels, model: Any, plan: Plan) -> Kernels:
    """`model` given the `kernels` that another process found to fit it."""
    if kernels.count:
        _use_in_parts(model, plan)
    if kernels.attention:
        attention.register()
        _set_attention(model.get_base_model(), kernels.attention)
    if kernels.first_token:
        last_layer.use_untried(model)
    lora.join(model, kernels.together)
    return kernels


def _computes(inner: Any) -> Callable[..., Any]:
    """What a trial compares: the states of a model that writes (its head is large), else logits."""
    if inner.can_generate():
        return lambda **inputs: inner.base_model(**inputs)[0]
    return lambda **inputs: inner(**inputs).logits


def _readings(inner: Any, longest: int, *, pairs: bool) -> tuple[Reading, Reading | None]:
    """The texts as padded rows, and as a model that writes is given them once it packs."""
    if not inner.can_generate():
        return synthetic.padded_texts(inner, longest, tokens=labels_tokens(inner)), None
    if pairs:
        return synthetic.pairs(inner, longest)
    plain = synthetic.padded_texts(inner, longest, tokens=True)
    return plain, synthetic.packed_texts(inner, longest)


def _use_in_parts(model: Any, plan: Plan) -> dict[str, int]:
    """Kernels of single modules; what has one, and how many of it."""
    precision: torch.dtype = getattr(torch, plan.precision)
    count = {"LoRA layers": 0, "norms": 0, "dropouts": 0}
    for module in model.modules():
        if lora.fits(module) and module.get_base_layer().weight.dtype == precision:
            module.__class__ = lora.AdaptedLinear
            count["LoRA layers"] += 1
        elif norm.fits(module):
            norm.use(module)
            count["norms"] += 1
        elif plan.device == "cpu" and dropout.fits(module):
            module.__class__ = dropout.Dropout
            count["dropouts"] += 1
    return {name: number for name, number in count.items() if number}


def _use_attention(used: Kernels, trial: Trial, plain: Reading, packed: Reading | None) -> None:
    """Give the model, which attends as transformers' `eager`, ours: with packed rows, or without.

    Left as it is where the two disagree: a model may do with its scores what ours knows nothing of,
    or let its texts know more than their own tokens.
    """
    inner = trial.model.get_base_model()
    attention.register()
    tried = [(PACKED, (plain, packed))] if packed is not None else []
    why_not: str | None = None
    for name, readings in [*tried, (PADDED, (plain,))]:
        if not _set_attention(inner, name):
            why_not = say("it takes no other")
            continue
        with attention.counted() as calls:
            agrees = trial.agrees(*readings)
        if agrees and calls:
            used.attention = name
            used.count["attention"] = 1
            if name == PADDED and packed is not None:
                used.notes.append(say("texts are padded, not packed: {why}", why=why_not))
            if packed is None:
                _use_for_first_token(used, trial, plain)
            return
        why_not = trial.why_not or say("it doesn't ask for one of transformers'")
    _set_attention(inner, EAGER)
    used.notes.append(say("attention is the model's own: {why}", why=why_not))


def _use_for_first_token(used: Kernels, trial: Trial, plain: Reading) -> None:
    tried = last_layer.use(trial.model, trial, plain)
    if tried:
        used.first_token = True
        used.count["last layer for one token"] = 1
    elif tried is False:
        used.notes.append(
            say("the last layer is computed for all tokens: {why}", why=trial.why_not)
        )


def _set_attention(inner: Any, name: str) -> bool:
    """Whether `inner` took the implementation of attention called `name`."""
    try:
        inner.set_attn_implementation(name)
    except Exception:  # noqa: BLE001 - of a model that knows its own alone
        return False
    return True


def _join(used: Kernels, plan: Plan, trial: Trial, plain: Reading, packed: Reading | None) -> None:
    """Compute layers together that read the same input, as is seen on a short text."""
    model, short = trial.model, synthetic.texts(trial.model.get_base_model())
    try:
        with autocast(plan):
            together = lora.reading_the_same(model, lambda: trial.of(**short))
    except Exception as error:  # noqa: BLE001 - whatever a model's own code raises
        used.notes.append(
            say("layers are computed one by one: {why}", why=reason(error, plan.device))
        )
        return
    lora.join(model, together)
    packs = packed is not None and used.attention == PACKED
    if together and not trial.agrees(plain, *([packed] if packs and packed else [])):
        lora.part(model)
        used.notes.append(say("layers are computed one by one: {why}", why=trial.why_not))
    elif together:
        used.together = together
        used.count["LoRA layers computed together"] = sum(map(len, together))
