"""Sweeps on a real store, with metrics as trainings record them; nothing is trained here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from tests.languages import is_translated
from tests.store.records import experiment

from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.training.sweep_display import print_findings
from tunesmith.config.sweep import SweepConfig, read_sweep
from tunesmith.errors import StateError
from tunesmith.experiments.lifecycle.control import cancel
from tunesmith.experiments.lifecycle.states import new_lease
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.experiments.sweeps import driving as sweeps
from tunesmith.experiments.sweeps.report import same_value_hint, sweep_report
from tunesmith.experiments.sweeps.search import propose
from tunesmith.schemas.enums import ExperimentStatus, SweepStatus, TrialState
from tunesmith.schemas.sweeps import SweepWhole
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Filters, Metric
from tunesmith.store.entities.sweeps import Sweep
from tunesmith.store.store import Store

S, T = ExperimentStatus, TrialState
EVALUATIONS = 5


def asked(base: dict[str, Any], **changes: Any) -> SweepConfig:
    """A sweep of the learning rate in 8 trials, 2 at once."""
    return read_sweep(
        {
            "sweep_name": "rates",
            "base": base,
            "set": {"training.eval_strategy": "steps", "training.eval_steps": 5},
            "parameters": {"training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
            "trials": 8,
            "parallel": 2,
            **changes,
        }
    )


def accuracy(experiment: Experiment, place: int) -> float:
    """The accuracy of an experiment at its nth evaluation: 0.01 is the best learning rate."""
    asked = experiment.config["training"]
    rate, seed = float(asked["learning_rate"]), int(asked["seed"])
    return 0.9 - 10 * abs(rate - 0.01) - 0.05 / place + 0.001 * (seed - 42)


class Trainers:
    """What workers do, with numbers in place of a training."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def step(self, most: int = 2) -> None:
        """Take what waits, as long as fewer than `most` run; one more evaluation of each."""
        running = self.store.list(Filters(status=S.RUNNING))
        while len(running) < most:
            taken = self.store.queue.take(
                ["cpu"], lease=new_lease(), worker="w", host="here", phase="training"
            )
            if taken is None:
                break
            running.append(taken)
        for each in running:
            self._evaluate(each)

    def _evaluate(self, experiment: Experiment) -> None:
        change = self.store.change_status
        if experiment.cancel_requested_at is not None:
            change(experiment.id, S.CANCELLED, {S.RUNNING}, lease=None)
            return
        place = len(self.store.metrics(experiment.id, "eval_accuracy")) + 1
        value = accuracy(experiment, place)
        point = Metric(experiment.id, 5 * place, "eval_accuracy", value, place / EVALUATIONS)
        self.store.add_metrics([point])
        if place == EVALUATIONS:
            interval = {"low": value - 0.05, "high": value + 0.05, "method": "Wilson", "rows": 40}
            score = {"metric": "accuracy", "value": value, "interval": interval}
            change(
                experiment.id, S.SUCCEEDED, {S.RUNNING}, lease=None, score=value,
                metrics={"eval_accuracy": value, "score": score},
            )  # fmt: skip


def run(
    sweep: Sweep, store: Store, settings: Settings, until: Callable[[], bool] = lambda: False
) -> SweepWhole:
    """Let trainers and drivers take turns until the sweep has ended, or `until` holds."""
    trainers = Trainers(store)
    for _ in range(200):
        sweep = store.sweeps.get(sweep.id)
        if sweep.status is not SweepStatus.RUNNING or until():
            break
        trainers.step()
        sweeps.advance(sweep, store, settings)
    return sweep_report(sweep, store, settings)


def test_what_looks_bad_is_pruned_and_the_best_beats_the_base_configuration(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    classification["training"] = {**classification["training"], "learning_rate": 0.02}
    sweep = sweeps.begin(asked(classification, pruner="asha"), store, settings, owner="ada")
    report = run(sweep, store, settings)
    assert report.status is SweepStatus.SUCCEEDED
    assert len(report.trials) == 8
    states = [trial.state for trial in report.trials]
    assert states.count(T.PRUNED) >= 3
    assert states[0] is T.SUCCEEDED  # the baseline is never pruned
    assert report.best is not None
    best, default = report.trials[report.best], report.trials[0]
    assert best.value is not None
    assert default.value is not None
    assert best.value > default.value
    assert (best.low, best.high) == pytest.approx((best.value - 0.05, best.value + 0.05))
    assert [value for _, value in report.best_so_far] == sorted(v for _, v in report.best_so_far)
    for trial in report.trials:
        (experiment,) = (store.get(each) for each in trial.experiments)
        assert experiment.owner == "ada"
        assert experiment.tags == (sweeps.tag_of(sweep.id),)
        if trial.state is T.PRUNED:
            assert experiment.status is S.CANCELLED
            assert str(experiment.reason).startswith("Pruned at epoch ")
            assert (trial.epoch or 1.0) < 1.0


def test_a_choice_is_the_base_configurations_own_however_its_number_is_written(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    choices = {"training.num_train_epochs": {"choices": [5, 2]}}
    search = asked(classification, parameters=choices, trials=4)
    assert repr(search.base_values["training.num_train_epochs"]) == "5.0"
    report = run(sweeps.begin(search, store, settings), store, settings)
    assert report.status is SweepStatus.SUCCEEDED
    tried = [trial.parameters["training.num_train_epochs"] for trial in report.trials]
    assert set(tried) <= {5, 2}
    assert len(tried) == 4


def test_two_who_drive_and_one_who_is_killed_between_any_two_writes_lose_and_double_nothing(
    classification: dict[str, Any],
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        """The end of a process."""

    sweep = sweeps.begin(asked(classification, pruner="asha", trials=5), store, settings)
    left = [0]

    def mortal(write: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **values: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return write(*args, **values)

        return step

    other = Store(settings.store_url)
    for name in ("add_trial", "end_trial", "end"):
        monkeypatch.setattr(store.sweeps, name, mortal(getattr(store.sweeps, name)))
    monkeypatch.setattr(sweeps, "enqueue", mortal(enqueue))
    monkeypatch.setattr(sweeps, "cancel", mortal(cancel))
    trainers = Trainers(other)
    for turn in range(200):
        if other.sweeps.get(sweep.id).status is not SweepStatus.RUNNING:
            break
        trainers.step()
        left[0] = 1 + turn % 3
        with suppress(Killed):
            sweeps.advance(other.sweeps.get(sweep.id), store, settings)
        left[0] = 0
        if turn % 2:
            sweeps.advance(other.sweeps.get(sweep.id), other, settings)
    report = sweep_report(other.sweeps.get(sweep.id), other, settings)
    assert report.status is SweepStatus.SUCCEEDED
    assert [trial.number for trial in report.trials] == list(range(5))
    ids = [each for trial in report.trials for each in trial.experiments]
    assert sorted(each.id for each in other.list()) == sorted(ids)
    trainers.step()  # what was pruned last hears of it
    assert not [e for e in other.list() if e.status.is_live]
    other.close()


def test_the_same_store_gives_the_same_next_setting_whoever_asks(
    classification: dict[str, Any], store: Store, settings: Settings, tmp_path: Path
) -> None:
    config = asked(classification, sampler="tpe", trials=6)
    sweep = sweeps.begin(config, store, settings)
    run(sweep, store, settings)
    trials = store.sweeps.trials(sweep.id)
    again = propose(config, trials, {}, 6)
    assert again == propose(config, trials, {}, 6)
    assert again != propose(config, trials, {}, 7)


def test_each_setting_is_trained_with_every_seed_and_judged_by_their_mean(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    grid = {"training.learning_rate": {"choices": [3e-3, 3e-2]}}  # the first as in the base
    config = asked(classification, seeds=3, sampler="grid", parameters=grid, trials=None)
    report = run(sweeps.begin(config, store, settings), store, settings)
    assert report.status is SweepStatus.SUCCEEDED
    assert len(report.trials) == 2
    for trial in report.trials:
        seeds = [store.get(each).config["training"]["seed"] for each in trial.experiments]
        assert seeds == [42, 43, 44]
        assert trial.spread == pytest.approx(0.001)
        assert trial.low is not None
        assert trial.value is not None
        assert trial.low < trial.value
    assert report.best == 0


def test_a_cancelled_sweep_goes_on_where_it_was(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    sweep = sweeps.begin(asked(classification, trials=4), store, settings)
    run(sweep, store, settings, until=lambda: len(store.sweeps.trials(sweep.id)) == 3)
    sweeps.cancel_sweep(sweep.id, store, by="ada")
    Trainers(store).step()
    assert not [each for each in store.list() if each.status.is_live]
    assert {each.state for each in store.sweeps.trials(sweep.id)} <= {T.SUCCEEDED, T.CANCELLED}
    resumed = sweeps.resume_sweep(sweep.id, store)
    report = run(resumed, store, settings)
    assert report.status is SweepStatus.SUCCEEDED
    assert [trial.state for trial in report.trials] == [T.SUCCEEDED] * 4


def test_a_sweep_whose_first_trials_all_fail_ends_with_the_reason(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    sweep = sweeps.begin(asked(classification), store, settings)
    for _ in range(4):
        for each in store.list(Filters(status=S.QUEUED)):
            store.change_status(each.id, S.FAILED, {S.QUEUED}, reason="No such file.")
        sweeps.advance(store.sweeps.get(sweep.id), store, settings)
    report = sweep_report(store.sweeps.get(sweep.id), store, settings)
    assert report.status is SweepStatus.FAILED
    assert "No such file." in str(report.reason)
    assert len(report.trials) < 8


def test_a_sweep_of_a_version_to_come_is_told_of_and_holds_up_no_other(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    sweep = sweeps.begin(asked(classification), store, settings)
    (first,) = store.sweeps.trials(sweep.id)
    stranger = replace(sweep, id="0" * len(sweep.id), asked={**sweep.asked, "of_tomorrow": 1})
    store.sweeps.create(stranger, replace(first, sweep_id=stranger.id))
    cancel(first.experiments[0], store)
    with pytest.raises(StateError, match=f"can't read what was asked of sweep {stranger.id}"):
        sweeps.advance_all(store, settings)
    assert store.sweeps.trials(sweep.id)[0].state is T.CANCELLED
    assert store.sweeps.get(stranger.id).status is SweepStatus.RUNNING


def test_a_trial_whose_experiment_somebody_cancels_is_cancelled_and_the_next_comes(
    classification: dict[str, Any], store: Store, settings: Settings
) -> None:
    sweep = sweeps.begin(asked(classification, trials=3), store, settings)
    cancel(store.sweeps.trials(sweep.id)[0].experiments[0], store, by="ada")
    report = run(sweep, store, settings)
    assert report.status is SweepStatus.SUCCEEDED
    assert report.trials[0].state is T.CANCELLED
    assert report.baseline is None
    assert report.best is not None


def test_a_metric_that_stays_0_is_said_with_those_that_differ(
    classification: dict[str, Any],
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As exact match does while no whole answer is right yet."""
    change = Store.change_status

    def ended(self: Store, id_: str, to: ExperimentStatus, *more: Any, **values: Any) -> Any:
        if "metrics" in values:
            real = values["metrics"]["eval_accuracy"]
            values["metrics"] = {"eval_accuracy": 0.0, "eval_f1": real, "eval_loss": 1 - real}
        return change(self, id_, to, *more, **values)

    monkeypatch.setattr(Store, "change_status", ended)
    sweep = sweeps.begin(asked(classification, trials=3), store, settings)
    report = run(sweep, store, settings)
    assert report.hint is not None
    assert report.hint.startswith("All 3 trainings that ended have accuracy 0: none learned enough")
    assert "f1 (0." in report.hint
    assert report.hint.endswith("a sweep uses one of them with metric: f1.")
    assert is_translated(report.hint)
    shown = Terminal(file=StringIO(), width=300)
    print_findings(shown, report)
    assert report.hint in shown.file.getvalue()  # type: ignore[attr-defined]


def test_a_metric_that_differs_needs_no_hint() -> None:
    trained = [experiment("a", metrics={"eval_f1": score}) for score in (0.0, 0.1)]
    assert same_value_hint("f1", "eval_f1", trained) is None
    assert same_value_hint("f1", "eval_f1", trained[:1]) is None
    alike = [experiment("a", metrics={"eval_f1": 0.5}) for _ in range(2)]
    assert str(same_value_hint("f1", "eval_f1", alike)).endswith("it can't tell them apart.")


def test_trials_are_picked_by_validation_and_the_best_is_judged_by_the_test_side(
    classification: dict[str, Any], store: Store, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    change = Store.change_status

    def ended(self: Store, id_: str, to: ExperimentStatus, *more: Any, **values: Any) -> Any:
        if "metrics" in values:
            real = values["metrics"]["eval_accuracy"]
            values["metrics"] = {
                "eval_accuracy": 1 - real, "validation_accuracy": real,
                "validation": {"metric": "accuracy", "value": real, "interval": {
                    "low": real - 0.1, "high": real + 0.1, "method": "Wilson"}},
            }  # fmt: skip
            values["score"] = 1 - real
        return change(self, id_, to, *more, **values)

    monkeypatch.setattr(Store, "change_status", ended)
    sweep = sweeps.begin(asked(classification, trials=4), store, settings)
    report = run(sweep, store, settings)
    assert report.best is not None
    best = report.trials[report.best]
    assert best.value == max(trial.value or 0.0 for trial in report.trials)
    assert best.low == pytest.approx((best.value or 0.0) - 0.1)
    assert best.method == "Wilson"
    assert report.test is not None
    assert report.test.value == pytest.approx(1 - (best.value or 0.0))
    shown = Terminal(file=StringIO(), width=300)
    print_findings(shown, report)
    said = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "By the test side, which picked nothing, the best has" in said
    assert "chosen by the same rows" not in said
