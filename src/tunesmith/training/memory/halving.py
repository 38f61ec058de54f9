"""When memory runs out within a step: the same step again, its batches computed in smaller parts.

A step's gradients are the sum over its rows, and the loss counts targets over the whole step, so
how many rows are computed at once changes nothing but memory and time: rows, their order, the
number of steps and the learning rate stay what they were. That is the batch halved and the
accumulation doubled, without the sampler seeing another batch size.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator

import torch
from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

from tunesmith.messages import say
from tunesmith.tasks.base import Batch
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.callbacks import Progress

OTHER_WORDS = ("std::bad_alloc", "could not create a primitive", "could not create a memory object")
"""How C++ and oneDNN say that memory ran out; oneDNN's words may mean something else, which then
happens with fewer rows too."""
AT_ONCE = say("rows at once")
"""The plan's line that says in which parts a batch is computed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in PyTorch's allocator for the CPU."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or should_reduce_batch_size(error)
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in OTHER_WORDS))
    )


def free_memory() -> None:
    """Let go of what nothing names any more, on the GPU too."""
    gc.collect()
    if sys.platform == "linux":
        # glibc keeps what it was given back, in pieces too small for the next phase's tensors.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def in_parts(batch: Batch, rows: int | None) -> Iterator[Batch]:
    """`batch` in parts of at most `rows` rows, in their order; whole where `rows` is None."""
    total = count_rows(batch)
    if rows is None or total <= rows:
        yield batch
        return
    for start in range(0, total, rows):
        yield {name: tensor[start : start + rows] for name, tensor in batch.items()}


def count_rows(batch: Batch) -> int:
    """How many rows `batch` has."""
    return len(batch["input_ids"])


def with_rows_at_once(plan: Plan, rows: int, batch: int, reason: str) -> Plan:
    """`plan` with the line that says that batches of `batch` rows are computed `rows` at once."""
    return plan.with_line(AT_ONCE, say("{n} of {rows}", n=rows, rows=batch), reason)


class Steps:
    """Computes the batches of one optimizer step after the other, in parts where they don't fit.

    `progress.rows_at_once` says how many rows fit; it is kept in checkpoints. `forget` clears the
    gradients of the step; `fewer` hears how many rows didn't fit, how many are tried now, and why.
    """

    def __init__(
        self,
        progress: Progress,
        forget: Callable[[], None],
        fewer: Callable[[int, int, str], None],
    ) -> None:
        self.progress = progress
        self._forget = forget
        self._fewer = fewer
        self._computed: list[Batch] = []

    def begin(self) -> None:
        """A step begins: no gradient of it is there yet."""
        self._computed = []

    def compute(self, batch: Batch, once: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        """The loss of `batch`; `once` gives that of a part, and adds its gradients to the step's.

        Where memory runs out, the gradients may be those of a half-finished backward pass: all of
        the step are cleared, and its batches are computed again from the first one. Raises the
        allocator's error when a single row doesn't fit.
        """
        self._computed.append(batch)
        loss = self._try([batch], once)
        while loss is None:
            self._forget()
            free_memory()
            loss = self._try(self._computed, once)
        return loss

    def _try(
        self, batches: list[Batch], once: Callable[[Batch], torch.Tensor]
    ) -> torch.Tensor | None:
        """The loss of the last of `batches`; None when memory ran out and fewer rows are tried.

        What the pass had kept is free once this has returned: until then the error's frames name
        it.
        """
        rows = 0
        loss: torch.Tensor | None = None
        try:
            for batch in batches:
                loss = None
                for part in in_parts(batch, self.progress.rows_at_once):
                    rows = count_rows(part)
                    found = once(part)
                    loss = found if loss is None else loss + found
        except (RuntimeError, MemoryError) as error:
            if rows == 1 or not is_out_of_memory(error):
                raise
            smaller = (rows + 1) // 2
            self.progress.rows_at_once = smaller
            self._fewer(rows, smaller, str(error).strip().partition("\n")[0])
            return None
        return loss
