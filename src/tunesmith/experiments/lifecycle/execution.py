"""One experiment, run in this process to its end; its status follows, whatever ends it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.config.yaml import read_draft
from tunesmith.errors import UnreachableError
from tunesmith.experiments.lifecycle.ending import Held
from tunesmith.experiments.lifecycle.lease import Lease
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.experiments.lifecycle.recorder import Recorder
from tunesmith.experiments.lifecycle.resuming import prepare_unchanged
from tunesmith.experiments.lifecycle.states import (
    S,
    end,
    job_of,
    new_lease,
    start,
    this_process,
    write_record,
)
from tunesmith.experiments.lifecycle.submission import describe
from tunesmith.experiments.notify.announcements import announce
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.log import log, logging_to
from tunesmith.files.mirror import Mirror
from tunesmith.files.writing import write_json, write_lines, write_text
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.statistics.looks import worn_out
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.tasks.results import Prediction
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Phase, Reporter, TrainingData, TrainingResult

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.training.distributed.meeting import Meeting

MOST_SCORES = 100
"""Scores of a prediction, one a label, that its file keeps."""

ANNOUNCING_PATIENCE = 15.0
"""Seconds after which a training in a terminal leaves announcements to the next one."""

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
    folder = ExperimentFolder.of(experiment, settings).make()
    mirror = Mirror(folder, folder.fetch())
    with logging_to(folder.log, settings):
        if lease is None:
            lease = new_lease()
            experiment = start(
                store, experiment, lease, phase=str(Phase.PREPARING_DATA), **this_process()
            )
        token = Lease(
            experiment_id, lease, store, settings,
            time_limit=job_of(experiment).time_limit,
            parent=parent,
            process={**this_process(), "directory": str(folder.path.resolve())},
        )  # fmt: skip
        held = Held(store, settings, token, mirror)
        recorder = Recorder(token, store, folder, listener or Reporter())
        try:
            with (
                token, mirror, held.ending(), held.stoppable(recorder.warning, queued=queued),
            ):  # fmt: skip
                experiment = _Run(held, folder, recorder).train(prepared, meeting)
        finally:
            if not queued:  # of others the worker tells
                announce(store, settings, ANNOUNCING_PATIENCE)
    return experiment


@dataclass(frozen=True)
class _Run:
    """One run of an experiment: what its steps share."""

    held: Held
    folder: ExperimentFolder
    recorder: Recorder

    def train(self, prepared: Prepared | None, meeting: Meeting | None) -> Experiment:
        """Train the experiment and record its success; its checkpoints are then not needed."""
        experiment = self.held.experiment()
        write_record(experiment)
        log.info("experiment %s (%s), folder %s", experiment.id, experiment.name, self.folder.path)
        if experiment.reason:  # why it begins once more
            log.info("before: %s", experiment.reason)
            self._write(experiment, reason=None)
        self.recorder.phase(Phase.PREPARING_DATA)
        prepared = self._prepared(experiment, prepared)
        experiment = self.held.experiment()
        _describe_data(prepared, self.recorder)
        engine = load("tunesmith.training.engine")  # only now: it brings torch with it
        result: TrainingResult = engine.train(
            prepared.config,
            prepared.task,
            _training_data(prepared, experiment),
            prepared.source,
            make_plan(prepared.config, meeting.place if meeting else None),
            self.folder.path,
            self.recorder,
            cache=self.held.settings.cache_dir,
            resume=self.folder.checkpoints.is_dir() or experiment.restarts > 0,
            meeting=meeting,
        )
        metrics = self._write_results(experiment, result)
        self.held.patiently(self.held.mirror.update, LAST_COPY_PATIENCE)
        experiment = self.held.patiently(
            lambda: end(
                self.held.store, self.held.experiment(), S.SUCCEEDED, lease=self.held.lease.token,
                phase=None, progress=1.0, metrics=metrics, train_runtime=metrics["train_runtime"],
                eval_accuracy=metrics.get("eval_accuracy"), score_name=result.score_name,
                score=result.score, reason=self.recorder.noticed, cancel_requested_at=None,
            )
        )  # fmt: skip
        shutil.rmtree(self.folder.checkpoints, ignore_errors=True)
        log.info("succeeded: %s %.4f", result.score_name, result.score)
        return experiment

    def _prepared(self, experiment: Experiment, prepared: Prepared | None) -> Prepared:
        """What is to be trained; a first start writes it down, a later one finds it unchanged."""
        store, settings = self.held.store, self.held.settings
        if prepared is None and experiment.dataset_hash is not None:
            return self.held.patiently(
                lambda: prepare_unchanged(experiment, settings), of=UnreachableError
            )
        prepared = prepared or self.held.patiently(
            lambda: prepare(read_draft(experiment.config), settings), of=UnreachableError
        )
        if experiment.dataset_hash is None:
            shutil.rmtree(self.folder.checkpoints, ignore_errors=True)
            self.folder.history.unlink(missing_ok=True)
            lease = self.held.lease.token
            self.held.patiently(lambda: store.delete_metrics(experiment.id, lease))
            # No other machine shall go on from the old ones.
            self.held.patiently(self.held.mirror.update)
            described = self.held.patiently(
                lambda: describe(prepared, self.folder, store, settings, owner=experiment.owner)
            )
            self._write(experiment, **described)
        return prepared

    def _write(self, experiment: Experiment, **changes: Any) -> None:
        lease = self.held.lease.token
        self.held.patiently(lambda: self.held.store.queue.write(experiment.id, lease, **changes))

    def _write_results(self, experiment: Experiment, result: TrainingResult) -> dict[str, Any]:
        folder = self.folder
        if result.label_errors is not None and result.label_errors.found:
            write_text(folder.label_errors, result.label_errors.to_csv())
        write_lines(folder.predictions, map(_as_line, result.predictions))
        looks = self.held.patiently(lambda: self.held.store.looks(experiment.test_side))
        metrics = {
            "experiment_id": experiment.id,
            "experiment_name": experiment.name,
            **result.metrics,
            "looks": looks + 1,
        }
        if said := worn_out(looks + 1):
            self.recorder.warning(said)
            metrics["cautions"] = [*metrics["cautions"], said]
        write_json(folder.metrics, metrics)
        self.held.patiently(self.recorder.flush)
        return metrics


def _as_line(prediction: Prediction) -> dict[str, Any]:
    """A prediction as its file has it: without its scores where there are very many.

    Of 5,000 labels they would be 100 MB for a thousand rows.
    """
    if len(prediction.scores) <= MOST_SCORES:
        return asdict(prediction)
    line = asdict(replace(prediction, scores=()))
    return {**line, "scores_left_out": len(prediction.scores)}


def _training_data(prepared: Prepared, experiment: Experiment) -> TrainingData:
    dataset = prepared.dataset
    return TrainingData(
        dataset.train,
        dataset.evaluation,
        {
            "name": experiment.data.get("dataset", dataset.name),
            "version": experiment.dataset_version,
            "hash": dataset.hash,
            "source": dataset.name,
            "overlap": dataset.overlap,
            "near_overlap": dataset.identity["near_overlap"],
        },
        dataset.groups,
        dataset.validation,
        dataset.validation_groups,
    )


def _describe_data(prepared: Prepared, recorder: Recorder) -> None:
    dataset = prepared.dataset
    recorder.message(
        say(
            "data: {name}, {n:,} rows to train on, {n3:,} to validate, {n2:,} to test, {hash}…",
            name=dataset.name,
            n=len(dataset.train),
            n3=len(dataset.validation),
            n2=len(dataset.evaluation),
            hash=dataset.hash[:19],
        )
    )
    if len(dataset.report.table):
        recorder.message(dataset.report.summary())
    for note in dataset.notes:
        recorder.message(note)
    if near := dataset.identity["near_overlap"]:
        recorder.warning(
            say(
                "{near:,} of {n:,} held-out rows have nearly a text that is trained on: "
                "the score flatters the model (data.validation_rules.near_leakage: drop "
                "leaves such rows out of the training).",
                near=near,
                n=len(dataset.evaluation),
            )
        )
    if dataset.overlap:
        recorder.warning(
            say(
                "{overlap:,} held-out rows have a text that is also trained on: the "
                "score flatters the model.",
                overlap=dataset.overlap,
            )
        )
