"""What every process of a training but the first does: the same steps, without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tunesmith import contention
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.training.fitting import Training, adapted_model, begin, fit, out_of_memory
from tunesmith.training.group import joined
from tunesmith.training.halving import is_out_of_memory
from tunesmith.training.handover import Handover
from tunesmith.training.place import Place


def follow(folder: Path, rank: int, next_line: Callable[[], str]) -> int:
    """Train as process `rank`; `next_line` waits for what the first process says.

    Returns the exit code. What ended it early is left in `folder` for the first process to tell.
    """
    handover = Handover(folder)
    work = handover.read_training(rank)
    contention.watch()
    try:
        _follow(work, handover, rank, next_line)
    except Interrupted:
        return 0
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        handover.say_failed(rank, out_of_memory(work.plan, error))
        return 1
    except TunesmithError as error:
        handover.say_failed(rank, error)
        return 1
    return 0


def _follow(work: Training, handover: Handover, rank: int, next_line: Callable[[], str]) -> None:
    begin(work)
    model = adapted_model(work)
    told = json.loads(next_line())
    work.train_examples = handover.read_examples()
    handover.say_ready(rank)
    size = work.config.training.processes
    with joined(
        Place(rank, size, rank, size),
        store=handover.store(size),
        device=work.plan.device,
        threads=told["threads"],
    ) as group:
        fit(work, model, group, checkpoint=group.copied(None, work.directory))
