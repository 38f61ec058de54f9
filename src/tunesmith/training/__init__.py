"""How it is learned: the plan, the model, the engine, its reports and the evidence afterwards.

`train` is loaded on first use (PEP 562), because it brings torch and transformers with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.loading import load

if TYPE_CHECKING:
    from tunesmith.training.engine import train as train

__all__ = ["train"]


def __getattr__(name: str) -> Any:
    """Load the engine when it is first asked for."""
    if name == "train":
        return load("tunesmith.training.engine").train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
