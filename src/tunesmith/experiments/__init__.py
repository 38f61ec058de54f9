"""The life of an experiment: asked for, prepared, run, ended, resumed; `train` for Python.

`states.py` is the only code that changes a status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.loading import load

if TYPE_CHECKING:
    from tunesmith.experiments.interface import TrainedExperiment as TrainedExperiment
    from tunesmith.experiments.interface import train as train

__all__ = ["TrainedExperiment", "train"]


def __getattr__(name: str) -> Any:
    """Load the Python interface on first use: most modules here need little of it (PEP 562)."""
    if name in __all__:
        return getattr(load("tunesmith.experiments.interface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
