from __future__ import annotations

from dataclasses import replace

import pytest
from tests.store.records import NOON

from tunesmith.errors import NotFoundError, StateError
from tunesmith.schemas.enums import SweepStatus, TrialState
from tunesmith.store.entities.sweeps import Sweep, Trial
from tunesmith.store.store import Store


def new(store: Store) -> tuple[Sweep, Trial]:
    """A sweep with its first trial."""
    sweep = Sweep(name="ranks", created_at=NOON, asked={"seeds": 1})
    first = Trial(
        sweep_id=sweep.id,
        number=0,
        created_at=NOON,
        parameters={"lora.r": 4, "lora.target_modules": ["q_lin"]},
        experiments=("0123456789ab",),
    )
    store.sweeps.create(sweep, first)
    return sweep, first


def test_of_several_who_number_a_trial_or_end_it_one_is_told_that_it_did(url: str) -> None:
    with Store(url) as store:
        sweep, first = new(store)
        assert store.sweeps.trials(sweep.id) == [first]
        second = replace(first, number=1, experiments=("ba9876543210",))
        assert store.sweeps.add_trial(second)
        assert not store.sweeps.add_trial(replace(second, parameters={}))
        assert store.sweeps.end_trial(first, TrialState.PRUNED, value=0.5, epoch=0.2, reason="bad")
        assert not store.sweeps.end_trial(first, TrialState.SUCCEEDED, value=0.9)
        ended, other = store.sweeps.trials(sweep.id)
        assert (ended.state, ended.value, ended.epoch) == (TrialState.PRUNED, 0.5, 0.2)
        assert ended.finished_at is not None
        assert other == second


def test_a_sweep_ends_once_and_runs_again_with_the_trials_that_were_cancelled(url: str) -> None:
    with Store(url) as store:
        sweep, first = new(store)
        assert store.sweeps.end(sweep.id, SweepStatus.CANCELLED, "Cancelled.").reason
        assert [each.id for each in store.sweeps.unsettled()] == [sweep.id]  # a trial goes on
        with pytest.raises(StateError, match="is cancelled"):
            store.sweeps.end(sweep.id, SweepStatus.SUCCEEDED)
        store.sweeps.end_trial(first, TrialState.CANCELLED)
        assert store.sweeps.unsettled() == []
        assert store.sweeps.reopen(sweep.id) == sweep
        assert store.sweeps.trials(sweep.id) == [first]
        with pytest.raises(StateError, match="is running"):
            store.sweeps.reopen(sweep.id)
        assert store.sweeps.find(sweep.id[:6]) == store.sweeps.find("ranks") == sweep
        with pytest.raises(NotFoundError, match="did you mean ranks"):
            store.sweeps.find("rank")
