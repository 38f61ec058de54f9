"""Tunesmith: LoRA fine-tuning that a person can trust, with every experiment kept."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tunesmith.threads import settle

if TYPE_CHECKING:
    from tunesmith.client import Client as Client
    from tunesmith.experiments import train as train

__all__ = ["Client", "__version__", "train"]
__version__ = "0.1.0"

settle()  # before any of our modules brings PyTorch in, in every process that we start as well

_LAZY = {"Client": "tunesmith.client", "train": "tunesmith.experiments"}


def __getattr__(name: str) -> Any:
    """Load the Python interface on first use, so that the command answers quickly (PEP 562)."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
