"""Other rows to judge by, where those that did have been looked at too often."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.data.dataset import examine, hold_out
from tunesmith.experiments.datasets.importing import Inquiry
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, Filters
from tunesmith.store.store import Store


@dataclass(frozen=True)
class FreshTest:
    """The next rows that can judge, which none of the experiments here was judged by."""

    draw: int
    """The value of `data.test_draw` that holds them out."""
    rows: int
    looks: int
    """How many experiments the rows of the last draw have judged."""


def refresh_test(inquiry: Inquiry, store: Store) -> FreshTest:
    """Draw other rows of the same data to judge by; nothing is changed.

    Raises ConfigError where the data have a split that judges, or all rows have judged before;
    DataError where the data can't be used.
    """
    content, ended = inquiry.source.hash, Filters(status=ExperimentStatus.SUCCEEDED)
    light = store.list(ended, details=False)
    judged = [store.get(each.id) for each in light if each.dataset_hash == content]
    last = max((_draw_of(each) for each in judged), default=0)
    sides = {each.test_side for each in judged if _draw_of(each) == last}
    looks = max((store.looks(side) for side in sides), default=0)
    draw = last + 1 if judged else inquiry.request.test_draw
    request = inquiry.request.model_copy(update={"test_draw": draw})
    found, _ = hold_out(
        request, inquiry.task, examine(request, inquiry.task, inquiry.source, compare=False)
    )
    return FreshTest(draw, len(found.evaluation), looks)


def _draw_of(experiment: Experiment) -> int:
    draw = experiment.config.get("data", {}).get("test_draw", 0)
    return draw if isinstance(draw, int) else 0
