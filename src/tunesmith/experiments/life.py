"""The life of an experiment: submit, execute, resume, reconcile, import.

The only code that changes a status; which status may follow which stands in `TRANSITIONS`.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import psutil

from tunesmith import training
from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.errors import Interrupted, StateError, StorageError, TunesmithError
from tunesmith.experiments.datasets import record_version
from tunesmith.experiments.prepare import Prepared, prepare
from tunesmith.experiments.recorder import Recorder, Silent, log, logging_to
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus, Filters, utc_now
from tunesmith.tracking.environment import describe_environment
from tunesmith.tracking.files import ExperimentFiles, write_json, write_lines, write_text
from tunesmith.tracking.store import Store
from tunesmith.training.plan import make_plan
from tunesmith.training.reporter import Phase, Reporter, TrainingData

S = ExperimentStatus
TRANSITIONS: dict[ExperimentStatus, frozenset[ExperimentStatus]] = {
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.QUEUED}),
    S.FAILED: frozenset({S.RUNNING, S.QUEUED}),
    S.CANCELLED: frozenset({S.RUNNING, S.QUEUED}),
    S.SUCCEEDED: frozenset(),
}
"""Status → what may follow it. Ended experiments that didn't succeed may be resumed."""


def submit(prepared: Prepared, store: Store, settings: Settings) -> Experiment:
    """Record a new experiment: its data's version, its folder with `config.yaml`, status QUEUED.

    Raises StorageError when the results folder, the versions or the store can't be written.
    """
    config, dataset = prepared.config, prepared.dataset
    files = ExperimentFiles.create(
        settings.results_dir, config.experiment_name, datetime.now(settings.timezone)
    )
    version, _ = record_version(
        dataset.source,
        config.data,
        dataset.report,
        dataset.columns,
        dataset.held_out,
        settings,
        store,
    )
    write_text(files.config, to_yaml(config))
    write_json(files.data_report, dataset.report.to_json())
    experiment = Experiment(
        name=config.experiment_name,
        task=config.task_name,
        model_name=config.model.name,
        dataset_name=dataset.name,
        dataset_hash=dataset.hash,
        dataset_version=version.number,
        config=config.model_dump(mode="json"),
        data={**dataset.identity, "dataset": version.name, "version": version.number},
        environment={
            **describe_environment(Path.cwd()),
            "base_model": {"name": prepared.source.name, "identity": prepared.source.identity},
        },
        directory=str(files.folder.resolve()),
        **_this_process(),
    )
    store.create(experiment)
    files.write_record(experiment)
    return experiment


def execute(
    experiment_id: str,
    store: Store,
    settings: Settings,
    *,
    prepared: Prepared | None = None,
    listener: Reporter | None = None,
) -> Experiment:
    """Run a submitted experiment here, to its end; resumes one that was stopped before.

    `prepared` saves preparing it a second time. Ctrl-C (SIGINT) and SIGTERM save a checkpoint and
    end it as CANCELLED; a second one ends it at once. Raises what ended it early, after recording
    status and reason.
    """
    experiment = store.get(experiment_id)
    files = ExperimentFiles(Path(experiment.directory or ""))
    resume = experiment.status in (S.FAILED, S.CANCELLED)
    listener = listener or Silent()
    recorder = Recorder(experiment_id, store, files, listener)
    with logging_to(files, settings):
        _require_transition(experiment, S.RUNNING)
        experiment = store.change_status(
            experiment_id,
            S.RUNNING,
            {experiment.status},
            phase=str(Phase.PREPARING_DATA),
            reason=None,
            started_at=experiment.started_at or utc_now(),
            finished_at=None,
            **_this_process(),
        )
        with _ending(store, files, experiment), _stoppable(recorder):
            files.write_record(experiment)
            experiment = _run(experiment, store, files, settings, recorder, prepared, resume=resume)
    return experiment


def _run(
    experiment: Experiment,
    store: Store,
    files: ExperimentFiles,
    settings: Settings,
    recorder: Recorder,
    prepared: Prepared | None,
    *,
    resume: bool,
) -> Experiment:
    """Train a running experiment and record its success; its checkpoints are then not needed."""
    log.info("experiment %s (%s), folder %s", experiment.id, experiment.name, files.folder)
    prepared = prepared or _prepare_again(experiment, settings)
    _describe_data(prepared, recorder)
    plan = make_plan(prepared.config)
    recorder.plan(plan)
    dataset = prepared.dataset
    result = training.train(
        prepared.config,
        prepared.task,
        TrainingData(
            dataset.train,
            dataset.evaluation,
            dataset.columns,
            {
                "name": experiment.data.get("dataset", dataset.name),
                "version": experiment.dataset_version,
                "hash": dataset.hash,
                "source": dataset.name,
                "overlap": dataset.overlap,
                "near_overlap": dataset.identity["near_overlap"],
            },
        ),
        prepared.source,
        plan,
        files.folder,
        recorder,
        resume=resume,
    )  # fmt: skip
    if result.label_errors is not None and result.label_errors.found:
        write_text(files.label_errors, result.label_errors.to_csv())
    write_lines(files.predictions, (asdict(prediction) for prediction in result.predictions))
    metrics = {
        "experiment_id": experiment.id,
        "experiment_name": experiment.name,
        **result.metrics,
    }
    write_json(files.metrics, metrics)
    experiment = _change(
        store, files, experiment, S.SUCCEEDED, phase=None, progress=1.0,
        metrics=metrics, finished_at=utc_now(), train_runtime=metrics["train_runtime"],
        eval_accuracy=metrics.get("eval_accuracy"), score_name=result.score_name,
        score=result.score,
    )  # fmt: skip
    shutil.rmtree(files.checkpoints, ignore_errors=True)
    log.info("succeeded: %s %.4f", result.score_name, result.score)
    return experiment


def resumable(experiment: Experiment, settings: Settings) -> Prepared:
    """What is needed to resume `experiment`, checked: same configuration, same data, same model.

    Raises StateError, with the reason, when it can't be resumed.
    """
    if experiment.status not in (S.FAILED, S.CANCELLED):
        hint = {
            S.SUCCEEDED: "it has already succeeded; train again with its config.yaml to repeat it",
            S.RUNNING: "it is running",
            S.QUEUED: "it waits in the queue",
        }[experiment.status]
        raise StateError(f"experiment {experiment.id} can't be resumed: {hint}.")
    return _prepare_again(experiment, settings)


def reconcile(store: Store) -> list[Experiment]:
    """End experiments that a process of this machine was running, or about to, and no longer is.

    Killed processes (kill -9, out of memory, power loss) can't say that they ended. Returns the
    experiments ended.
    """
    ended = []
    live = [e for status in (S.RUNNING, S.QUEUED) for e in store.list(Filters(status=status))]
    for experiment in live:
        if experiment.host != platform.node() or _is_alive(experiment):
            continue
        files = ExperimentFiles(Path(experiment.directory or ""))
        doing = "trained it" if experiment.status is S.RUNNING else "was about to train it"
        reason = (
            f"The process that {doing} (pid {experiment.pid}) ended without a word, as after "
            "kill -9, when memory ran out, or when the machine lost power. Resume it with: "
            f"tunesmith train --resume {experiment.id}"
        )
        try:
            ended.append(
                _change(store, files, experiment, S.FAILED, reason=reason, finished_at=utc_now())
            )
        except (StateError, StorageError):
            continue  # another process was faster, or its folder can't be written
    return ended


def import_folder(folder: Path, store: Store) -> Experiment:
    """Put the experiment in `folder` into the store, as its files tell it; twice is harmless.

    An experiment that the store knows further on than its files is left as it is.

    Raises DataError when the folder holds no experiment.
    """
    files = ExperimentFiles(folder)
    experiment = files.read_record()
    here = experiment.host == platform.node()
    known = [e for e in store.list(Filters(name=experiment.name)) if e.id == experiment.id]
    if known and (known[0].status.is_live or experiment.status.is_live):
        return known[0]
    if experiment.status.is_live and here and not _is_alive(experiment):
        experiment = replace(experiment, status=S.FAILED, reason="It ended without a word.")
    store.put(experiment, list(files.read_history(experiment.id)))
    return experiment


def _change(
    store: Store,
    files: ExperimentFiles,
    experiment: Experiment,
    to: ExperimentStatus,
    **changes: Any,
) -> Experiment:
    """The transition of `experiment` to status `to`: one atomic update, then its record on disk.

    Raises StateError when the transition is illegal, or the status isn't what it was.
    """
    _require_transition(experiment, to)
    changed = store.change_status(experiment.id, to, {experiment.status}, **changes)
    if files.folder.is_dir():
        files.write_record(changed)
    return changed


def _require_transition(experiment: Experiment, to: ExperimentStatus) -> None:
    if to not in TRANSITIONS[experiment.status]:
        raise StateError(
            f"experiment {experiment.id} is {experiment.status} and can't become {to}."
        )


def _prepare_again(experiment: Experiment, settings: Settings) -> Prepared:
    """Find the experiment's data and model again, and refuse if they aren't what they were."""
    files = ExperimentFiles(Path(experiment.directory or ""))
    prepared = prepare(read_draft(files.config), settings)
    if prepared.config.model_dump(mode="json") != dict(experiment.config):
        raise StateError(
            f"experiment {experiment.id} can't be resumed: its config.yaml was changed since it "
            f"was submitted ({files.config})."
        )
    now, then = prepared.dataset.identity, experiment.data
    if now["hash"] != then["hash"] or now["splits"] != then["splits"]:
        raise StateError(
            f"experiment {experiment.id} can't be resumed: {experiment.dataset_name} was changed "
            f"since (content hash {now['hash'][:19]}…, was {str(then['hash'])[:19]}…). Start a new "
            "experiment with the new data."
        )
    was = experiment.environment["base_model"]["identity"]
    if prepared.source.identity != was:
        raise StateError(
            f"experiment {experiment.id} can't be resumed: the base model {experiment.model_name} "
            "was changed since."
        )
    return prepared


def _describe_data(prepared: Prepared, recorder: Recorder) -> None:
    dataset = prepared.dataset
    recorder.message(
        f"data: {dataset.name}, {len(dataset.train):,} rows to train on, "
        f"{len(dataset.evaluation):,} held out, {dataset.hash[:19]}…"
    )
    if len(dataset.report.table):
        recorder.message(dataset.report.summary())
    for note in dataset.notes:
        recorder.message(note)
    if near := dataset.identity["near_overlap"]:
        recorder.warning(
            f"{near:,} of {len(dataset.evaluation):,} held-out rows have nearly a text that is "
            "trained on: the score flatters the model (data.validation_rules.near_leakage: drop "
            "leaves such rows out of the training)."
        )
    if dataset.overlap:
        recorder.warning(
            f"{dataset.overlap:,} held-out rows have a text that is also trained on: the score "
            "flatters the model."
        )


class _ending:  # noqa: N801 - reads as a verb in `with`
    """Records how the experiment ended, whatever ends it early; the error goes on."""

    def __init__(self, store: Store, files: ExperimentFiles, experiment: Experiment) -> None:
        self.store, self.files, self.experiment = store, files, experiment

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, (Interrupted, KeyboardInterrupt)):
            status = S.CANCELLED
            reason = f"Stopped by the user: {error}." if str(error) else "Stopped by the user."
        else:
            status = S.FAILED
            reason = (
                str(error)
                if isinstance(error, TunesmithError)
                else f"Tunesmith made a mistake ({type(error).__name__}: {error}); "
                "logs.txt has the details."
            )
        expected = not isinstance(error, Exception) or isinstance(error, TunesmithError)
        log.error("%s: %s", status, reason, exc_info=None if expected else error)
        # Where even this can't be written, what went wrong is told, and reconcile() comes later.
        with suppress(StorageError, StateError):
            _change(
                self.store,
                self.files,
                self.store.get(self.experiment.id),
                status,
                reason=reason,
                finished_at=utc_now(),
            )


@contextmanager
def _stoppable(recorder: Recorder) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask the training to stop; the second one stops it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if recorder.stop_wanted:
            raise KeyboardInterrupt
        recorder.stop_wanted = True
        recorder.warning("stopping: a checkpoint is saved first (press Ctrl-C again to stop now)")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "process_started": psutil.Process().create_time(),
    }


def _is_alive(experiment: Experiment) -> bool:
    if experiment.pid is None or not psutil.pid_exists(experiment.pid):
        return False
    try:
        process = psutil.Process(experiment.pid)
        started = process.create_time()
        return process.status() != psutil.STATUS_ZOMBIE and (
            experiment.process_started is None or abs(started - experiment.process_started) < 1.0
        )
    except psutil.NoSuchProcess:
        return False
