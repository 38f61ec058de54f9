"""A training whose processes torchrun started, on several nodes: the same steps as on one machine.

The first process leads as it does there: it alone reports, evaluates, saves and hears what the user
wants. Each of the others reads data and base model by itself, and trains only once it is sure that
they are those of the first one.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import DataError, TrainingError, TunesmithError
from tunesmith.tasks.base import Example
from tunesmith.training.distributed.meeting import QUIET, Meeting
from tunesmith.training.encoding import encode
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.fitting import fit
from tunesmith.training.memory.refusals import out_of_memory
from tunesmith.training.plan import Plan
from tunesmith.training.ranks.group import Group, joined
from tunesmith.training.stages import Placed, Training
from tunesmith.training.starting import adapted_model, begin

TRAINING, ROWS = "training", "rows"
"""Keys of what the first process says: how to train, and the hash of the encoded rows."""


def described(
    config: Mapping[str, Any], data_hash: str, model: str | None, plan: Plan
) -> dict[str, Any]:
    """What must be the same in every process before they train together, as JSON."""
    return {
        "config": dict(config),
        "data": data_hash,
        "model": model,
        "plan": {
            "device": plan.device.partition(":")[0],
            "precision": plan.precision,
            "weights": plan.weights,
            "attention": plan.attention,
        },
    }


class Nodes:
    """The other processes of `work` as the first one sees them: `Processes`, of torchrun's."""

    def __init__(self, work: Training, meeting: Meeting) -> None:
        self.work = work
        self.meeting = meeting

    def __enter__(self) -> Nodes:
        """Let them read data and model while this one loads its own."""
        work = self.work
        config = work.config.model_dump(mode="json")
        said = described(config, work.data.dataset["hash"], work.source.identity, work.plan)
        self.meeting.say(TRAINING, said)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be done: `meeting` sends them what ended this one."""

    @contextmanager
    def together(self, examples: list[Example], checkpoint: Path | None) -> Iterator[Group]:
        """All learn from `examples` within this, from `checkpoint` on or from the beginning.

        Raises TrainingError when a process is lost, the error that another one met, or Interrupted
        when somebody stops them before all are ready.
        """
        self.meeting.say(ROWS, content_hash(examples))
        others = range(1, self.meeting.place.size)
        look = self.work.reporter.stop_if_asked
        self.meeting.wait_for([f"ready/{rank}" for rank in others], look)
        with _joined(self.work, self.meeting) as group:
            group.copied(checkpoint, self.work.directory)
            yield group


def follow(work: Training, meeting: Meeting) -> None:
    """Train as one of the others; `work.directory` is a folder of this process alone.

    Its reporter is asked, while it waits, whether this process shall end. Raises the errors of
    `tunesmith.errors`.
    """
    try:
        encoded = encode(work, begin(work))
        placed = Placed.after(encoded, rows_judged=work.config.eval_batch_size)
        model = adapted_model(placed)
        (rows,) = meeting.wait_for([ROWS], work.reporter.stop_if_asked)
        if rows != content_hash(placed.train_examples):
            raise DataError(
                "data.dataset_name: the rows, as the model reads them, are not those of "
                "{name}: the same Tunesmith must be installed on every node.",
                name=meeting.name(0),
            )
        meeting.say(f"ready/{meeting.place.rank}", True)
        with _joined(work, meeting) as group:
            checkpoint = group.copied(None, work.directory)
            fit(placed, model, group, Judge(placed), checkpoint=checkpoint)
    except torch.OutOfMemoryError as error:
        raise out_of_memory(work.plan, error) from error


def content_hash(examples: Sequence[Example]) -> str:
    """A hash of encoded rows, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(example, default=array.tolist, sort_keys=True).encode())
    return digest.hexdigest()


@contextmanager
def _joined(work: Training, meeting: Meeting) -> Iterator[Group]:
    """Be one of the group; a broken connection is reported as what ended another process."""
    try:
        with joined(
            meeting.place,
            store=meeting.store,
            device=work.plan.device,
            threads=torch.get_num_threads(),
            loopback=False,
            check=meeting.check,
        ) as group:
            meeting.on_loss = group.abort
            try:
                yield group
            finally:
                meeting.on_loss = None
    except (torch.OutOfMemoryError, TunesmithError):
        raise
    except RuntimeError as error:
        meeting.check(2 * QUIET)
        raise TrainingError(
            "the connection between the training processes broke: {error}",
            error=str(error).splitlines()[0],
        ) from error
