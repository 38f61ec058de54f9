"""How a process that torchrun started trains along in the experiment of the first one.

It speaks to no store and writes nothing that stays: it reads the data and the base model that the
configuration names, on its own node, and refuses to train when they are not those of the first one.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tunesmith.config.yaml import Draft, read_draft
from tunesmith.errors import ConfigError, Problem
from tunesmith.experiments.lifecycle.ending import heard
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.training.distributed.meeting import Meeting
from tunesmith.training.distributed.nodes import TRAINING, described, follow
from tunesmith.training.plan import Plan, make_plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Training


def join(meeting: Meeting, draft: Draft | None, settings: Settings) -> None:
    """Train along to the end, as one of the processes that `meeting` brings together.

    `draft` is what was asked for here; None: what the first process says. SIGTERM and Ctrl-C let
    all of them save a checkpoint and stop. Raises ConfigError when configuration, data, base model
    or plan are not those of the first process, what ended it, and Interrupted.
    """
    wish = _Wish()
    with wish.heard():
        theirs, first = meeting.wait_for([TRAINING, "name/0"], wish.stop_if_asked)
        prepared = prepare(draft or read_draft(theirs["config"]), settings)
        plan = make_plan(prepared.config, meeting.place)
        _compare(prepared, plan, theirs, meeting.called(0, first))
        with tempfile.TemporaryDirectory(prefix="tunesmith-training-") as folder:
            dataset = prepared.dataset
            data = TrainingData(
                dataset.train, dataset.evaluation, {}, validation=dataset.validation
            )
            work = Training(
                prepared.config, prepared.task, data, prepared.source, plan, Path(folder), wish,
                settings.cache_dir,
            )  # fmt: skip
            follow(work, meeting)


class _Wish(Reporter):
    """Says nothing: the first process alone reports. Passes on that this one shall stop."""

    def __init__(self) -> None:
        self._asked = False

    def should_stop(self) -> bool:
        """Whether SIGTERM or Ctrl-C came."""
        return self._asked

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within this, the first signal is a wish; another one ends this process at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked = True
            signal.signal(number, signal.SIG_DFL)

        with heard(ask):
            yield


def _compare(prepared: Prepared, plan: Plan, theirs: Mapping[str, Any], first: str) -> None:
    """Raise ConfigError with all in which this process differs from the first one."""
    config = prepared.config.model_dump(mode="json")
    ours = described(config, prepared.dataset.hash, prepared.source.identity, plan)
    problems = [
        Problem(field, say("{first} has {there}", first=first, there=repr(there)), here)
        for field, here, there in _differences(ours["config"], theirs["config"])
    ]
    if ours["data"] != theirs["data"]:
        why = say(
            "the rows here are not those of {first} (content hash {data}…, there {data2}…)",
            first=first,
            data=ours["data"][:19],
            data2=theirs["data"][:19],
        )
        problems.append(Problem("data.dataset_name", why, prepared.config.data.dataset_name))
    if ours["model"] != theirs["model"]:
        why = say("the base model here is not that of {first}", first=first)
        problems.append(Problem("model.name", why, prepared.config.model.name))
    for what, here, there in _differences(ours["plan"], theirs["plan"]):
        why = say("{first} has {there}; say it in the configuration", first=first, there=there)
        problems.append(Problem(f"plan: {what}", why, here))
    if problems:
        raise ConfigError(problems)


def _differences(ours: Any, theirs: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted field, what is here, what is there, of all that differ."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        if ours != theirs:
            yield at, ours, theirs
        return
    for name in dict.fromkeys([*ours, *theirs]):
        yield from _differences(ours.get(name), theirs.get(name), f"{at}.{name}".lstrip("."))
