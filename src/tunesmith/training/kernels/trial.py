"""Whether kernels may be used: where a model gives with them what it gives without.

Tried are outputs and gradients, on synthetic texts as long as the longest row to learn from
(a window or a chunk that is longer hides nothing), with padding, in float32, by a model whose
adapter already does something. What differs or can't be computed leaves the model as it is,
and the trial says which of these it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from tunesmith.errors import first_line
from tunesmith.messages import say
from tunesmith.training.kernels.shortened import shortened
from tunesmith.training.memory.halving import free_memory, is_out_of_memory

T = TypeVar("T")

DIFFERENT = say("the results differ")

OUTPUT_TOLERANCE = 5e-5
"""Largest difference of an output, as a share of the largest output."""
GRADIENT_TOLERANCE = 2e-4
"""Norm of the difference of a weight's gradients, as a share of their norm."""
ROUNDING = 1e-6
"""A share of the norm of all gradients: what is smaller is rounding."""
LARGE_EMBEDDING = 4_000_000
"""Numbers in an embedding that is not copied in float32: what it gives is."""
MOST_BYTES = 1 << 32
"""Most memory for a trial's weights in float32; a model that needs more keeps its own code."""
_tried = False


class TooLargeError(MemoryError):
    """Raised when the weights of a model, in float32, are more than a trial may take."""


def reason(error: Exception, device: str) -> str:
    """Why a trial on `device` that raised `error` came to nothing."""
    if isinstance(error, TooLargeError):
        return str(error)
    if is_out_of_memory(error):
        return say("the memory of {device} was not enough to try it", device=device)
    kind = type(error).__name__
    if line := first_line(error):
        return say("trying it failed with {kind}: {error}", kind=kind, error=line)
    return say("trying it failed with {kind}", kind=kind)


def in_use(module: nn.Module) -> bool:
    """Whether the kernel of `module` computes now: while it trains, or is tried."""
    return module.training or _tried


@contextmanager
def forced() -> Iterator[None]:
    """Within this, kernels compute though the model doesn't train: nothing is left to chance."""
    global _tried
    before, _tried = _tried, True
    try:
        yield
    finally:
        _tried = before


@dataclass(frozen=True)
class Reading:
    """A way to read the texts of a trial: what goes in, and what of the result is compared."""

    inputs: dict[str, Any]
    """Arguments of the model's forward."""
    compared: Callable[[torch.Tensor], torch.Tensor]
    """Of the model's result, (rows, tokens, size) or (rows, size), what texts are made of:
    (numbers, size), in the same order by each way of reading."""


@dataclass(frozen=True)
class _Found:
    output: torch.Tensor
    gradients: dict[str, torch.Tensor]


class Trial:
    """What `model`, with an adapter and without kernels, gives for `plain`: held against others.

    `of` computes a result from the inputs of a `Reading`. `why_not` says why the last try came to
    nothing; None when it didn't.
    """

    def __init__(self, model: Any, of: Callable[..., torch.Tensor], plain: Reading) -> None:
        self.model = model
        self.of = of
        self.plain = plain
        self.short = True
        self.why_not: str | None = None
        self._lengths: dict[int, int] = {}
        self._wanted = self.attempt(lambda: self._read(plain))
        if self.why_not is not None and not self._short_of_memory:
            self.short = False
            self._wanted = self.attempt(lambda: self._read(plain))

    def agrees(
        self,
        *readings: Reading,
        using: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> bool:
        """Whether the model, as it is now and within `using`, gives the same in each reading."""
        wanted = self._wanted
        if wanted is None:
            return False

        def same() -> bool:
            with forced(), using():
                return all(_same(wanted, self._read(reading)) for reading in readings)

        found = self.attempt(same)
        if found is False:
            self.why_not = DIFFERENT
        return found is True

    def attempt(self, compute: Callable[[], T]) -> T | None:
        """What `compute` gives while the model is exact; None, and `why_not`, where it can't."""
        self.why_not = None
        self._short_of_memory = False
        try:
            with self._exactly():
                return compute()
        except Exception as error:  # noqa: BLE001 - whatever a model's own code or a kernel raises
            self.why_not = reason(error, str(self.model.device))
            self._short_of_memory = is_out_of_memory(error)
        if self._short_of_memory:
            free_memory()  # once the error is gone, whose frames hold what was computed
        return None

    def _read(self, reading: Reading) -> _Found:
        output = reading.compared(self.of(**reading.inputs))
        generator = torch.Generator().manual_seed(1)
        weigh = torch.randn(output.shape, generator=generator).to(output)
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(
            (output * weigh).sum(), list(trained.values()), allow_unused=True
        )
        gradients: dict[str, torch.Tensor | None] = dict(zip(trained, found, strict=True))
        return _Found(output.detach(), {n: g for n, g in gradients.items() if g is not None})

    @contextmanager
    def _exactly(self) -> Iterator[None]:
        """Within this, the model is short, in float32, and its adapter does something."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.autocast(self.model.device.type, enabled=False))
            stack.enter_context(torch.enable_grad())
            if self.short:
                stack.enter_context(shortened(self.model, self._lengths))
            stack.enter_context(_in_float32(self.model))
            stack.enter_context(_adapted(self.model))
            yield


def _same(wanted: _Found, found: _Found) -> bool:
    if (
        wanted.output.shape != found.output.shape
        or wanted.gradients.keys() != found.gradients.keys()
    ):
        return False
    gap = (found.output - wanted.output).abs().max()
    if not bool(gap <= OUTPUT_TOLERANCE * wanted.output.abs().max()):
        return False
    rounding = ROUNDING * sum(float(g.norm()) ** 2 for g in wanted.gradients.values()) ** 0.5
    return all(
        bool(
            (found.gradients[name] - gradient).norm()
            <= GRADIENT_TOLERANCE * gradient.norm() + rounding
        )
        for name, gradient in wanted.gradients.items()
    )


@contextmanager
def _in_float32(model: nn.Module) -> Iterator[None]:
    """Within this, what `model` holds in fewer bits is float32.

    Large embeddings stay, and what they give is float32. Raises TooLargeError where it is too much.
    """
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    head = getattr(model, "get_output_embeddings", lambda: None)()
    # The head of a model that writes isn't asked.
    left = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    left |= {id(e.weight) for e in embeddings if e.weight.numel() > LARGE_EMBEDDING}
    held = [
        tensor
        for tensor in {id(t): t for t in _tensors(model)}.values()
        if tensor.is_floating_point() and tensor.element_size() < 4 and id(tensor) not in left
    ]
    size = sum(tensor.numel() for tensor in held) * 4
    if size > MOST_BYTES:
        raise TooLargeError(
            say(
                "its layers take {size:.2g} GB in float32, and a trial takes "
                "{most_bytes:.2g} GB at most",
                size=size / 1e9,
                most_bytes=MOST_BYTES / 1e9,
            )
        )
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, result: result.float())
        for module in embeddings
        if module.weight.element_size() < 4 and id(module.weight) in left
    ]
    own = [tensor.data for tensor in held]
    try:
        for tensor in held:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, data in zip(held, own, strict=True):
            tensor.data = data
        for hook in hooks:
            hook.remove()


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """All that `model` computes with."""
    for module in model.modules():
        yield from module.parameters(recurse=False)
        yield from module.buffers(recurse=False)
        yield from getattr(getattr(module, "siblings", None), "tensors", ())


@contextmanager
def _adapted(model: nn.Module) -> Iterator[None]:
    """Within this, what would train and is nothing but zeros is a little at random."""
    generator = torch.Generator().manual_seed(2)
    empty = [p for p in model.parameters() if p.requires_grad and not bool(p.any())]
    own = [parameter.data for parameter in empty]
    try:
        for parameter in empty:
            noise = torch.randn(parameter.shape, generator=generator) * 0.02
            parameter.data = noise.to(parameter)
        yield
    finally:
        for parameter, data in zip(empty, own, strict=True):
            parameter.data = data


def longest_of(examples: Sequence[dict[str, Any]]) -> int:
    """Tokens of the longest text of `examples`."""
    fields = ("input_ids", "rejected_ids")
    return max((len(e[name]) for e in examples for name in fields if name in e), default=0)
