"""Names of statuses, phases, tasks and metrics, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tunesmith.names import Package, last_part
from tunesmith.schemas.choices import TaskDescription
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import TaskStatus
from tunesmith.schemas.metrics import Resource
from tunesmith.ui.language import _
from tunesmith.ui.visitor import session

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
    return _("waiting") if value is S.QUEUED else _(value)


def side(name: str) -> str:
    """What rows of a split are for."""
    return {
        "train": _("to train on"),
        "validation": _("to validate"),
        "evaluation": _("to test"),
        "held_out": _("to test"),
        "test": _("to test"),
    }.get(name, name)


def tasks() -> dict[str, TaskDescription]:
    """The tasks by name."""
    return {each.name: each for each in session.kept("tasks").items}


def task(name: str) -> str:
    """What is learned."""
    known = tasks().get(name)
    return _(known.label) if known else name


def metric(name: str | None) -> str:
    """A metric; names of the field stay as they are."""
    side, _mark, bare = (name or "").partition("_")
    if side not in ("validation", "eval"):
        side, bare = "", name or ""
    known = {
        "loss": _("loss"),
        "learning_rate": _("learning rate"),
        "grad_norm": _("gradient norm"),
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
    if bare not in known:
        of_tasks = (metric for task in tasks().values() for metric in task.metrics)
        label = next((metric.label for metric in of_tasks if metric.name == bare), None)
        known[bare] = _(label) if label else bare.replace("_", " ")
    text = known[bare]
    if side == "validation":
        return _("{metric}, validation").format(metric=text)
    return _("{metric}, test").format(metric=text) if side and bare == "loss" else text


def method(name: str) -> str:
    """How an interval was made, or the test behind a verdict."""
    known = {
        "Wilson": _("Wilson's method"),
        "paired bootstrap": _("paired bootstrap"),
        "Bonett and Price": _("Bonett and Price's method"),
        "mid-p McNemar": _("McNemar's test (mid-p)"),
        "bootstrap": _("bootstrap"),
        "approximate randomization": _("approximate randomization"),
        "approximate randomization of groups": _("approximate randomization of groups"),
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
    package = Package.of(name)
    if package is None:
        return last_part(name)
    return package.name if package.inner in ("", "model") else last_part(package.inner)


def dataset(name: str) -> str:
    """The last part of a dataset's name, which tells it."""
    return last_part(name)
