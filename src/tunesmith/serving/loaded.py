"""What a predictor holds in memory: base models, and the adapters that are on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peft import PeftModel

from tunesmith.config.schema import ExperimentConfig
from tunesmith.models.locate import ModelSource
from tunesmith.tasks.base import Task
from tunesmith.training.plan import Plan


@dataclass
class Base:
    """A loaded base model, with the adapters that are on it now."""

    model: Any
    fresh: list[str]
    source: ModelSource
    tokenizer: Any
    longest: int | None
    plan: Plan
    adapters: set[str]
    """Names of its adapters; a base that answers alone has none."""
    active: str | None = None
    """The adapter that answers now; "" stands for none, None for not known."""

    @property
    def adapted(self) -> bool:
        """Whether an adapter is on it."""
        return isinstance(self.model, PeftModel)

    @property
    def size(self) -> int:
        """Bytes of its weights and those of its adapters."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    def activate(self, name: str) -> None:
        """Let the adapter `name` answer; "": the base model alone, whatever is on it."""
        if not self.adapted or self.active == name:
            return
        if name:
            self.model.base_model.enable_adapter_layers()
            self.model.set_adapter(name)
        else:
            self.model.base_model.disable_adapter_layers()
        self.active = name

    @contextmanager
    def as_(self, name: str, between_passes: Callable[[], None]) -> Iterator[None]:
        """Within this the adapter `name` answers this thread, and `between_passes` is called.

        Other threads may compute with another adapter while that lasts.
        """
        thread, passes = threading.get_ident(), 0

        def before(*_: Any) -> None:
            nonlocal passes
            if threading.get_ident() != thread:
                return
            if passes:
                between_passes()
                self.activate(name)
            passes += 1

        self.activate(name)
        # Every pass, PEFT's too, calls the base model; not all of those say where it embeds tokens.
        model = self.model.get_base_model() if self.adapted else self.model
        handle = model.register_forward_pre_hook(before)
        try:
            yield
        finally:
            handle.remove()


@dataclass(frozen=True)
class Loaded:
    """An adapter that can answer."""

    base_key: str
    name: str | None
    """Its name on the base model; None stands for the base model alone."""
    task: Task
    tokenizer: Any
    """The base model's, with the chat template as this adapter is asked by it."""
    config: ExperimentConfig
    mended: tuple[str, ...] = ()
    """The rules by which its texts were mended, and what it is asked is."""
