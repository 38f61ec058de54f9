"""The life of an experiment: asked for, prepared, run, ended, resumed; `train` for Python.

`states.py` is the only code that changes a status.
"""

from __future__ import annotations

from tunesmith.experiments.interface import TrainedExperiment, train

__all__ = ["TrainedExperiment", "train"]
