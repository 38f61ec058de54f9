"""What every process of a training but the first does: the same steps, without a word."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tunesmith import contention
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.training.distributed.handover import LOOK_EVERY, Handover
from tunesmith.training.encoding import read_examples
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.fitting import fit
from tunesmith.training.memory.halving import is_out_of_memory
from tunesmith.training.memory.refusals import out_of_memory
from tunesmith.training.ranks.group import joined
from tunesmith.training.ranks.place import Place
from tunesmith.training.stages import Placed, Training
from tunesmith.training.starting import adapted_model, begin


def follow(folder: Path, rank: int) -> int:
    """Train as process `rank`; returns the exit code.

    What ended it early is left in `folder` for the first process to tell.
    """
    handover = Handover(folder)
    work = handover.read_training(rank)
    contention.watch()
    try:
        _follow(work, handover, rank)
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


def _follow(work: Training, handover: Handover, rank: int) -> None:
    tokenizer = begin(work)
    model = adapted_model(work)
    while not handover.examples.exists():
        time.sleep(LOOK_EVERY)
    placed = Placed.beside(work, tokenizer, read_examples(handover.examples))
    handover.ready(rank).touch()
    size = work.config.training.processes
    with joined(
        Place(rank, size, rank, size),
        store=handover.store(size),
        device=work.plan.device,
        threads=int(os.environ["OMP_NUM_THREADS"]),  # as the first process chose it
    ) as group:
        checkpoint = group.copied(None, work.directory)
        fit(placed, model, group, Judge(placed), checkpoint=checkpoint)
