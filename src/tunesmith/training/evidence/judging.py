"""Asking a model about rows in batches as large as fit into memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from tunesmith.errors import Interrupted
from tunesmith.messages import say
from tunesmith.tasks.base import Batches, Example, Row, Task
from tunesmith.tasks.chats.messages import as_base_model
from tunesmith.tasks.parts.packing import shares
from tunesmith.tasks.results import Prediction
from tunesmith.training.evidence.evaluation import autocast, by_length, in_batches, in_given_order
from tunesmith.training.memory.halving import free_memory, is_out_of_memory
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.reporter import Reporter
from tunesmith.training.stages import Placed

T = TypeVar("T")


class Judge:
    """Asks models about the rows of one side of `work`: the test side, or the one that validates.

    Where memory runs out, all are asked again in batches of half the rows, from then on: the same
    batches, the same scores.
    """

    def __init__(self, work: Placed, *, validates: bool = False) -> None:
        self.work = work
        self.side: Sequence[Row] = work.data.validation if validates else work.data.evaluation
        self.examples = work.validation_examples if validates else work.eval_examples
        self.prefix = "validation" if validates else "eval"
        """What the names of these rows' metrics begin with."""
        self.rows = work.rows_judged
        """Rows in one batch."""

    @classmethod
    def while_training(cls, work: Placed) -> Judge:
        """The one that stops a training and picks its checkpoint.

        Where there are too few rows for a side of their own, the test side does.
        """
        return cls(work, validates=bool(work.data.validation))

    def predictions(
        self,
        model: Any,
        *,
        generate: bool = True,
        reporter: Reporter | None = None,
        task: Task | None = None,
        examples: Sequence[Example] | None = None,
    ) -> list[Prediction]:
        """`model`'s predictions for the rows; `reporter` hears of it instead of ours.

        `task` judges instead of ours: the same, with its labels in another order. `examples` are
        the rows as another tokenizer reads them. Raises Interrupted when the reporter says so.
        """
        work, own = self.work, task or self.work.task
        rows, listener = self.side, reporter or work.reporter
        if task is not None:
            examples = task.encode(rows, work.tokenizer, work.config.data.max_length)
        judged = self.examples if examples is None else examples

        def encoded(batches: Sequence[Sequence[int]]) -> Batches:
            done = 0
            for batch in batches:
                if listener.should_stop():
                    raise Interrupted("stopped during evaluation")
                listener.progress(done, len(rows))
                done += len(batch)
                asked = [judged[i] for i in batch]
                yield [rows[i] for i in batch], own.collate_for(model, asked, work.tokenizer)

        def predicted(size: int) -> list[Prediction]:
            batches, training = by_length(judged, size), model.training
            model.eval()
            try:
                with torch.inference_mode(), autocast(work.plan):
                    found = own.predict(model, encoded(batches), work.tokenizer, generate=generate)
                    return in_given_order(list(found), batches)
            finally:
                model.train(training)

        found = self.fitting(predicted)
        listener.progress(len(rows), len(rows))
        return found

    def add_references(
        self,
        model: Any,
        examples: Sequence[Example],
        should_stop: Callable[[], bool] = lambda: False,
        *,
        training: bool = False,
    ) -> None:
        """Put what `model` says without its adapter into `examples`, where the task needs it.

        It is computed as what it will be compared with: as in `predictions`, in the same batches,
        so that an adapter that changes nothing gives the same numbers to the last bit; or, with
        `training`, as in a step, unless dropout would make that another number each time. Raises
        Interrupted when `should_stop` says so.
        """
        work = self.work
        if not work.task.needs_reference:
            return

        def asked(batch: list[Example]) -> list[Example]:
            if should_stop():
                raise Interrupted("stopped before training began")
            tensors = work.task.collate_for(model, batch, work.tokenizer)
            return work.task.reference(model, tensors)

        def found(size: int) -> list[Example]:
            with torch.inference_mode(), autocast(work.plan), as_base_model(model):
                model.train(training and shares(model))
                return in_batches(examples, size, asked)

        for example, reference in zip(examples, self.fitting(found), strict=True):
            example.update(reference)

    def fitting(self, compute: Callable[[int], T]) -> T:
        """What `compute` gives with batches of as many rows as fit into memory."""
        while True:
            rows = self.rows
            try:
                return compute(rows)
            except (RuntimeError, MemoryError) as error:
                if rows == 1 or not is_out_of_memory(error):
                    raise
                self.rows = (rows + 1) // 2
            free_memory()  # once the error is gone, whose frames hold what was computed
            self.work.reporter.message(
                say(
                    "the memory of {device} was not enough to judge {rows} rows at once; "
                    "from here on {rows_judged} are",
                    device=self.work.plan.device,
                    rows=rows,
                    rows_judged=self.rows,
                )
            )


def ask_together(
    examples: Sequence[Example], group: Group, ask: Callable[[Sequence[Example]], None]
) -> None:
    """Let each process `ask` for its part of the examples, and give the others what was added.

    So all learn from the same numbers.
    """
    mine = examples[group.rank :: group.size]
    before = [set(example) for example in mine]
    ask(mine)
    added = [
        {name: example[name] for name in example.keys() - known}
        for example, known in zip(mine, before, strict=True)
    ]
    for rank, part in enumerate(group.every(json.dumps(added).encode())):
        for example, fields in zip(examples[rank :: group.size], json.loads(part), strict=True):
            example.update(fields)
