"""The lean step: parts of a model that compute the same in less time while it trains.

Rules, stated first:

- A kernel stands in only while the model trains. Judging, verifying and serving run PyTorch's and
  PEFT's own code, so that a score is that of the adapter as anybody loads it.
- A kernel that can't serve a module leaves it as it is.
- Each is tested against what it replaces, outputs and gradients, in float64.
"""

from tunesmith.training.kernels.install import install_kernels

__all__ = ["install_kernels"]
