"""Names of statuses, phases and metrics, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tunesmith.api.schemas.experiments import TaskStatus
from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.tracking.registry_entities import Stage
from tunesmith.tracking.resources import Resource
from tunesmith.tracking.sweep_entities import SweepStatus, TrialState
from tunesmith.ui.language import _

S = ExperimentStatus
Color = Literal["gray", "blue", "green", "red", "orange"]

ICONS = {
    S.QUEUED: ":material/schedule:",
    S.RUNNING: ":material/play_circle:",
    S.SUCCEEDED: ":material/check_circle:",
    S.FAILED: ":material/error:",
    S.CANCELLED: ":material/cancel:",
}
COLORS: Mapping[ExperimentStatus, Color] = {
    S.QUEUED: "gray",
    S.RUNNING: "blue",
    S.SUCCEEDED: "green",
    S.FAILED: "red",
    S.CANCELLED: "orange",
}
OF_TASK = {
    TaskStatus.PENDING: S.QUEUED,
    TaskStatus.STARTED: S.RUNNING,
    TaskStatus.SUCCESS: S.SUCCEEDED,
    TaskStatus.FAILURE: S.FAILED,
    TaskStatus.REVOKED: S.CANCELLED,
}


def status(value: ExperimentStatus) -> str:
    """A status in the visitor's language."""
    return {
        S.QUEUED: _("waiting"),
        S.RUNNING: _("running"),
        S.SUCCEEDED: _("succeeded"),
        S.FAILED: _("failed"),
        S.CANCELLED: _("cancelled"),
    }[value]


def trial(value: TrialState) -> str:
    """The state of a trial in the visitor's language."""
    return {
        TrialState.RUNNING: _("running"),
        TrialState.SUCCEEDED: _("succeeded"),
        TrialState.PRUNED: _("pruned"),
        TrialState.FAILED: _("failed"),
        TrialState.CANCELLED: _("cancelled"),
    }[value]


def sweep(value: SweepStatus) -> str:
    """The status of a sweep in the visitor's language."""
    return {
        SweepStatus.RUNNING: _("running"),
        SweepStatus.SUCCEEDED: _("succeeded"),
        SweepStatus.FAILED: _("failed"),
        SweepStatus.CANCELLED: _("cancelled"),
    }[value]


def stage(value: Stage) -> str:
    """The stage of a registered version in the visitor's language."""
    return {
        Stage.CANDIDATE: _("candidate"),
        Stage.STAGING: _("staging"),
        Stage.PRODUCTION: _("production"),
        Stage.ARCHIVED: _("archived"),
    }[value]


def phase(value: str | None) -> str:
    """What a running experiment does now."""
    known = {
        "preparing data": _("preparing data"),
        "loading model": _("loading model"),
        "training": _("training"),
        "evaluating": _("evaluating"),
        "saving": _("saving"),
        "verifying": _("verifying"),
    }
    return known.get(value or "", value or "")


def task(name: str) -> str:
    """What is learned."""
    known = {
        "text-classification": _("text classification"),
        "sft": _("chat fine-tuning"),
        "regression": _("numbers for texts"),
        "token-classification": _("entities in texts"),
        "dpo": _("learning from preferences"),
    }
    return known.get(name, name)


def metric(name: str | None) -> str:
    """A metric; names of the field stay as they are."""
    bare = (name or "").removeprefix("eval_")
    known = {
        "accuracy": _("accuracy"),
        "exact_match": _("exact match"),
        "answers_ended": _("answers that ended with their end token"),
        "loss": _("loss"),
        "learning_rate": _("learning rate"),
        "grad_norm": _("gradient norm"),
        "perplexity": _("perplexity"),
        "f1": "F1",
        "r2": "R²",
        "rmse": _("root mean squared error"),
        "mse": _("mean squared error"),
        "mae": _("mean absolute error"),
        "pearson": _("Pearson's correlation"),
        "spearman": _("Spearman's correlation"),
        "precision": _("precision"),
        "recall": _("recall"),
        "f1_macro": _("F1, mean of the labels"),
        "token_accuracy": _("token accuracy"),
        "reward_margin": _("reward: chosen less rejected"),
        "reward_chosen": _("reward of the chosen answers"),
        "reward_rejected": _("reward of the rejected answers"),
        Resource.SAMPLES_PER_SECOND: _("samples per second"),
        Resource.TOKENS_PER_SECOND: _("tokens per second, padding left out"),
        Resource.CPU_PERCENT: _("processor use in % (one core: 100)"),
        Resource.MEMORY_MB: _("memory in MB"),
        Resource.GPU_UTILIZATION: _("GPU use in %"),
        Resource.GPU_MEMORY_MB: _("GPU memory in MB"),
        Resource.TIME_SHARE_DATA: _("data"),
        Resource.TIME_SHARE_FORWARD: _("forward and loss"),
        Resource.TIME_SHARE_BACKWARD: _("backward"),
        Resource.TIME_SHARE_OPTIMIZER: _("optimizer"),
        Resource.TIME_SHARE_OTHER: _("evaluation and other"),
    }
    text = known.get(bare, bare.replace("_", " "))
    held_out = (name or "").startswith("eval_") and bare == "loss"
    return _("{metric}, held-out rows").format(metric=text) if held_out else text


def method(name: str) -> str:
    """How an interval was made, or the test behind a verdict."""
    known = {
        "Wilson": _("Wilson's method"),
        "paired bootstrap": _("paired bootstrap"),
        "Bonett and Price": _("Bonett and Price's method"),
        "mid-p McNemar": _("McNemar's test (mid-p)"),
        "bootstrap": _("bootstrap"),
        "approximate randomization": _("approximate randomization"),
        "Wilson, effective rows": _("Wilson's method, effective rows"),
        "jackknife": _("jackknife"),
        "Bonett and Price, by rows": _("Bonett and Price's method, by rows"),
        "Student's t over seeds": _("Student's t over seeds"),
    }
    return known.get(name, name)


def action(name: str) -> str:
    """What somebody did, as the audit trail calls it."""
    known = {
        "adapter.edit": _("registered adapter edited"),
        "adapter.register": _("adapter registered"),
        "adapter.remove": _("registered adapter removed"),
        "adapter.stage": _("adapter promoted or archived"),
        "dataset.import": _("data imported"),
        "experiment.cancel": _("experiment cancelled"),
        "experiment.delete": _("experiment deleted"),
        "experiment.edit": _("experiment renamed, noted or tagged"),
        "experiment.front": _("experiment moved to the front"),
        "experiment.priority": _("priority changed"),
        "experiment.rerun": _("experiment run again"),
        "experiment.resume": _("experiment resumed"),
        "experiment.retry": _("experiment retried"),
        "experiment.submit": _("experiment submitted"),
        "queue.continue": _("queue let go on"),
        "queue.pause": _("queue paused"),
        "storage.gc": _("storage cleared"),
        "store.backup": _("store backed up"),
        "store.restore": _("store restored"),
        "store.upgrade": _("store upgraded"),
        "token.create": _("token made"),
        "token.revoke": _("token revoked"),
        "refused": _("refused"),
    }
    return known.get(name, name)


def model(name: str) -> str:
    """The last part of a base model's name, which tells it."""
    if name.startswith("package:"):
        package, _slash, rest = name.removeprefix("package:").partition("/")
        return package if rest in ("", "model") else rest.rpartition("/")[2]
    return name.rpartition("/")[2] or name


def dataset(name: str) -> str:
    """The last part of a dataset's name, which tells it."""
    return name.rpartition("/")[2] if "/" in name and not name.startswith("hf:") else name
