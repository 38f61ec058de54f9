"""One experiment, run in this process to its end; its status follows, whatever ends it."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith import training
from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.errors import (
    BusyError,
    Interrupted,
    LeaseLostError,
    ProcessKilledError,
    StateError,
    StorageError,
    TunesmithError,
    UnreachableError,
)
from tunesmith.experiments.announcements import announce
from tunesmith.experiments.lease import Lease, Stop
from tunesmith.experiments.mirroring import Mirroring
from tunesmith.experiments.prepare import Prepared, prepare
from tunesmith.experiments.reconcile import Restart, give_up
from tunesmith.experiments.recorder import Recorder, Silent, log, logging_to
from tunesmith.experiments.states import (
    S,
    end,
    job_of,
    local_folder,
    new_lease,
    queue_again,
    start,
    this_process,
    write_record,
)
from tunesmith.experiments.submission import describe
from tunesmith.settings import Settings
from tunesmith.tasks.base import Prediction
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import ExperimentFiles, write_json, write_lines, write_text
from tunesmith.tracking.store import Store
from tunesmith.training.plan import make_plan
from tunesmith.training.reporter import Phase, Reporter, TrainingData, TrainingResult

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.training.meeting import Meeting

T = TypeVar("T")

MOST_SCORES = 100
"""Scores of a prediction, one a label, that its file keeps."""

SAME_WISH = 0.5
"""Seconds within which another signal says nothing new: a service manager tells the worker and its
trainings at once, and the worker passes it on."""

ANNOUNCING_PATIENCE = 15.0
"""Seconds after which a training in a terminal leaves what is still to be told to the next one."""

LAST_COPY_PATIENCE = 600.0
"""Seconds for which the object store is asked again to take what a whole training has left."""


def execute(
    experiment_id: str,
    store: Store,
    settings: Settings,
    *,
    prepared: Prepared | None = None,
    listener: Reporter | None = None,
    lease: str | None = None,
    parent: int | None = None,
    meeting: Meeting | None = None,
) -> Experiment:
    """Run a submitted experiment in this process, to its end; go on with one that was stopped.

    `prepared` saves preparing it a second time. `lease` is the token under which a worker took it
    from the queue: then SIGTERM, or the end of the process `parent`, saves a checkpoint and gives
    it back. Without one the experiment is taken here, and Ctrl-C or SIGTERM saves a checkpoint and
    ends it as CANCELLED; a second signal ends the process at once.

    `meeting` is with the other processes that torchrun started, where it did.

    Returns the experiment as it ended. Raises what ended it early, after recording status and
    reason; Interrupted when it was asked to stop.
    """
    experiment = store.get(experiment_id)
    queued = lease is not None
    files = _local_files(experiment, settings)
    mirror = Mirroring(files.folder, settings)
    with logging_to(files, settings):
        if lease is None:
            lease = new_lease()
            experiment = start(
                store, experiment, lease, phase=str(Phase.PREPARING_DATA), **this_process()
            )
        held = Lease(
            experiment_id, lease, store, settings,
            time_limit=job_of(experiment).time_limit,
            parent=parent,
            process={**this_process(), "directory": str(files.folder.resolve())},
        )  # fmt: skip
        try:
            with held, mirror:
                run = _Run(store, settings, files, held, listener or Silent(), mirror)
                with run.ending(), run.stoppable(queued=queued):
                    experiment = run.train(prepared, meeting)
        finally:
            if not queued:  # of others the worker tells
                announce(store, settings, ANNOUNCING_PATIENCE)
    return experiment


def resumable(experiment: Experiment, settings: Settings) -> Prepared:
    """What is needed to resume `experiment` here, checked: same configuration, data and model.

    Raises StateError, with the reason, when it can't be resumed.
    """
    if experiment.status not in (S.FAILED, S.CANCELLED):
        hint = {
            S.SUCCEEDED: "it has already succeeded; repeat it with: tunesmith rerun "
            f"{experiment.id}",
            S.RUNNING: "it is running",
            S.QUEUED: "it waits in the queue",
        }[experiment.status]
        raise StateError(f"experiment {experiment.id} can't be resumed: {hint}.")
    if experiment.dataset_hash is None:  # its data were never read
        return prepare(read_draft(experiment.config), settings)
    return _prepare_again(experiment, settings)


class _Run:
    """One run of an experiment: what its steps share."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        files: ExperimentFiles,
        held: Lease,
        listener: Reporter,
        mirror: Mirroring,
    ) -> None:
        self.store = store
        self.settings = settings
        self.files = files
        self.held = held
        self.mirror = mirror
        self.recorder = Recorder(held, store, files, listener)

    def train(self, prepared: Prepared | None, meeting: Meeting | None) -> Experiment:
        """Train the experiment and record its success; its checkpoints are then not needed."""
        experiment = self._experiment()
        write_record(experiment)
        log.info("experiment %s (%s), folder %s", experiment.id, experiment.name, self.files.folder)
        if experiment.reason:  # why it begins once more
            log.info("before: %s", experiment.reason)
            self._write(experiment, reason=None)
        self.recorder.phase(Phase.PREPARING_DATA)
        prepared = self._prepared(experiment, prepared)
        experiment = self._experiment()
        _describe_data(prepared, self.recorder)
        result = training.train(
            prepared.config,
            prepared.task,
            _training_data(prepared, experiment),
            prepared.source,
            make_plan(prepared.config, meeting.place if meeting else None),
            self.files.folder,
            self.recorder,
            cache=self.settings.cache_dir,
            resume=self.files.checkpoints.is_dir() or experiment.restarts > 0,
            meeting=meeting,
        )
        metrics = self._write_results(experiment, result)
        self._patiently(self.mirror.update, LAST_COPY_PATIENCE)
        experiment = self._patiently(
            lambda: end(
                self.store, self._experiment(), S.SUCCEEDED, lease=self.held.token,
                phase=None, progress=1.0, metrics=metrics, train_runtime=metrics["train_runtime"],
                eval_accuracy=metrics.get("eval_accuracy"), score_name=result.score_name,
                score=result.score, reason=self.recorder.noticed, cancel_requested_at=None,
            )
        )  # fmt: skip
        shutil.rmtree(self.files.checkpoints, ignore_errors=True)
        log.info("succeeded: %s %.4f", result.score_name, result.score)
        return experiment

    def _prepared(self, experiment: Experiment, prepared: Prepared | None) -> Prepared:
        """What is to be trained; a first start writes it down, a later one finds it unchanged."""
        if prepared is None and experiment.dataset_hash is not None:
            return self._patiently(
                lambda: _prepare_again(experiment, self.settings), of=UnreachableError
            )
        prepared = prepared or self._patiently(
            lambda: prepare(read_draft(experiment.config), self.settings), of=UnreachableError
        )
        if experiment.dataset_hash is None:
            shutil.rmtree(self.files.checkpoints, ignore_errors=True)
            self.files.history.unlink(missing_ok=True)
            self._patiently(self._forget_points)
            self._patiently(self.mirror.update)  # no other machine shall go on from the old ones
            described = self._patiently(
                lambda: describe(
                    prepared, self.files, self.store, self.settings, owner=experiment.owner
                )
            )
            self._write(experiment, **described)
        return prepared

    def _forget_points(self) -> None:
        self.store.delete_metrics(self.held.experiment_id, lease=self.held.token)

    def _write_results(self, experiment: Experiment, result: TrainingResult) -> dict[str, Any]:
        files = self.files
        if result.label_errors is not None and result.label_errors.found:
            write_text(files.label_errors, result.label_errors.to_csv())
        write_lines(files.predictions, map(_as_line, result.predictions))
        metrics = {
            "experiment_id": experiment.id,
            "experiment_name": experiment.name,
            **result.metrics,
        }
        write_json(files.metrics, metrics)
        self._patiently(self.recorder.flush)
        return metrics

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Records how the experiment ended, whatever ends it early; the error goes on."""
        try:
            yield
        except BaseException as error:
            self._told(error)
            raise

    def _told(self, error: BaseException) -> None:
        expected = not isinstance(error, Exception) or isinstance(error, TunesmithError)
        log.error("%s", str(error) or type(error).__name__, exc_info=None if expected else error)
        if isinstance(error, LeaseLostError):
            return
        try:
            self._patiently(lambda: self._record_end(error))
        except (StorageError, StateError, LeaseLostError) as untold:
            # What went wrong is told all the same; that it ended will be found out by others.
            log.error("%s", untold)

    @contextmanager
    def stoppable(self, *, queued: bool) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM ask the training to stop; by hand, a second one stops it at once.

        How long a queued one may take is for its worker to say.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        again = "" if queued else " (press Ctrl-C again to stop now)"
        asked: list[float] = []

        def ask(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if asked:
                if not queued and now - asked[0] > SAME_WISH:
                    raise KeyboardInterrupt
                return
            asked.append(now)
            self.held.ask(Stop.GIVEN_BACK if queued else Stop.INTERRUPTED)
            self.recorder.warning(f"stopping: a checkpoint is saved first{again}")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _record_end(self, error: BaseException) -> None:
        experiment, lease = self._experiment(), self.held.token
        if isinstance(error, ProcessKilledError) and experiment.queue is not None:
            self.mirror.try_to_update()  # before another machine may go on
            give_up(experiment, str(error), self.store, restart=Restart.COUNTED)
            return
        if not isinstance(error, (Interrupted, KeyboardInterrupt)):
            reason = (
                str(error)
                if isinstance(error, TunesmithError)
                else f"Tunesmith made a mistake ({type(error).__name__}: {error}); "
                "logs.txt has the details."
            )
            end(self.store, experiment, S.FAILED, lease=lease, reason=reason)
            return
        where = f": {error}" if str(error) else ""
        match self.held.stop:
            case Stop.GIVEN_BACK:
                reason = f"Given back by worker {experiment.worker}{where}."
                self.mirror.try_to_update()  # before another machine may go on
                queue_again(self.store, experiment, last=False, lease=lease, reason=reason)
            case Stop.TIME_LIMIT:
                limit = experiment.config["job"]["time_limit"]
                reason = f"Its time was over (job.time_limit, {limit:g} seconds){where}."
                end(self.store, experiment, S.FAILED, lease=lease, reason=reason)
            case Stop.CANCELLED:
                reason = (experiment.reason or "Cancelled.").rstrip(".") + f"{where}."
                end(self.store, experiment, S.CANCELLED, lease=lease, reason=reason)
            case _:
                reason = f"Stopped by the user{where}."
                end(self.store, experiment, S.CANCELLED, lease=lease, reason=reason)

    def _experiment(self) -> Experiment:
        return self._patiently(lambda: self.store.get(self.held.experiment_id))

    def _write(self, experiment: Experiment, **changes: Any) -> None:
        self._patiently(lambda: self.store.jobs.write(experiment.id, self.held.token, **changes))

    def _patiently(
        self,
        write: Callable[[], T],
        seconds: float | None = None,
        of: type[StorageError] = StorageError,
    ) -> T:
        """`write`, tried again while a store can't be reached and the lease may still hold.

        While others keep it locked it is tried again as long as that takes.

        `seconds` are by default those after which the lease is lost; `of` is what is waited out.
        """
        until = time.monotonic() + (seconds or self.settings.lease_seconds)
        while True:
            try:
                return write()
            except of as error:
                over = time.monotonic() > until and not isinstance(error, BusyError)
                if over or self.held.stop is Stop.LEASE_LOST:
                    raise
                time.sleep(1.0)


def _as_line(prediction: Prediction) -> dict[str, Any]:
    """A prediction as its file has it: without its scores where there are very many.

    Of 5,000 labels they would be 100 MB for a thousand rows.
    """
    if len(prediction.scores) <= MOST_SCORES:
        return asdict(prediction)
    line = asdict(replace(prediction, scores=()))
    return {**line, "scores_left_out": len(prediction.scores)}


def _local_files(experiment: Experiment, settings: Settings) -> ExperimentFiles:
    """The experiment's folder on this machine, made where another machine made the first one."""
    folder = local_folder(experiment, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} can't be made: {error.strerror or error}") from error
    return ExperimentFiles(folder)


def _prepare_again(experiment: Experiment, settings: Settings) -> Prepared:
    """Find the experiment's data and model again, and refuse if they aren't what they were."""
    files = _local_files(experiment, settings)
    if not files.config.exists():  # another machine's folder
        write_text(files.config, to_yaml(read_draft(experiment.config).config()))
    prepared = prepare(read_draft(files.config), settings)
    # Read again: an earlier version's record has no field that came since; its default holds.
    if prepared.config != read_draft(experiment.config).config():
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


def _training_data(prepared: Prepared, experiment: Experiment) -> TrainingData:
    dataset = prepared.dataset
    return TrainingData(
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
    )


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
