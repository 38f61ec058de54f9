"""Loading modules without the garbage collector, which would look through them again and again.

Libraries make a million objects that stay, and hardly any garbage, while they load: looking for it
took a fifth of the processor time of loading torch, transformers and PEFT.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected within this."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load(name: str) -> ModuleType:
    """The module called `name`; one that is new is left out of every later collection."""
    if name in sys.modules:
        return importlib.import_module(name)
    with uncollected():
        module = importlib.import_module(name)
    gc.freeze()
    return module
