"""Trackers of others (`training.report_to`): Hugging Face's own callbacks, kept from doing harm.

What training does never depends on them: one that fails is left out from then on, with a warning.
They get the configuration, what is logged, and at the end the score; their keys are those of their
own environment variables, and stay there.
"""

from __future__ import annotations

import copy
import netrc
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import integration_utils

from tunesmith.errors import DataError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.messages import say
from tunesmith.training.reporting.callbacks import is_measured
from tunesmith.training.reporting.reporter import Reporter

_CALLBACKS = {
    "mlflow": "MLflowCallback",
    "tensorboard": "TensorBoardCallback",
    "trackio": "TrackioCallback",
    "wandb": "WandbCallback",
}

PROJECT = "tunesmith"
"""What experiments are kept under, where a tracker wants a name for all and none is set."""


class Tracker(TrainerCallback):
    """One tracker, through Hugging Face's callback `make` makes; its first failure is its last.

    `name` is what `training.report_to` calls it, `configuration` what it shows as parameters.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], TrainerCallback],
        configuration: Mapping[str, Any],
        reporter: Reporter,
    ) -> None:
        self.name = name
        self._make = make
        self._inner: TrainerCallback | None = None
        self._configuration = configuration
        self._reporter = reporter
        self._failed = False
        self._last: tuple[TrainingArguments, TrainerState, TrainerControl] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin; the parameters are those of our configuration, not all that transformers knows."""
        shown = copy.copy(args)
        shown.__class__ = _Shown
        shown.__dict__["configuration"] = dict(self._configuration)
        self._last = shown, state, control

        def begin() -> None:
            self._inner = self._make()
            self._inner.on_train_begin(shown, state, control, model=None)

        self._safely(begin)

    def on_log(self, *_: Any, logs: Mapping[str, float] | None = None, **__: Any) -> None:
        """Pass on losses and evaluations, not the trainer's own summary: ours follows."""
        if is_measured(logs or {}):
            self.log(logs or {})

    def log(self, values: Mapping[str, Any]) -> None:
        """Pass values on, at the step that training has come to."""
        if self._inner is not None and self._last is not None:
            inner, (args, state, control) = self._inner, self._last
            self._safely(lambda: inner.on_log(args, state, control, logs=dict(values)))

    def close(self) -> None:
        """End; nothing is passed on afterwards."""
        if self._inner is not None and self._last is not None:
            inner, (args, state, control) = self._inner, self._last
            self._safely(lambda: inner.on_train_end(args, state, control))
        self._inner = None

    def _safely(self, act: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self._failed = True
            self._inner = None
            # Its words may hold an address with a key in it.
            self._reporter.warning(
                say(
                    "{name} failed ({name2}) and gets nothing more of this experiment "
                    "(training.report_to); training goes on",
                    name=self.name,
                    name2=type(error).__name__,
                )
            )


class _Shown(TrainingArguments):
    """The trainer's arguments, which tell trackers our configuration as theirs."""

    configuration: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return dict(self.configuration)


def trackers(
    names: Sequence[str], configuration: Mapping[str, Any], folder: Path, reporter: Reporter
) -> list[Tracker]:
    """The trackers called so, for the experiment in `folder`; what they keep is put there or near.

    Where they have environment variables of their own, these win.
    """
    shown = {"experiment_id": _id_of(folder), "directory": str(folder.absolute()), **configuration}
    if names:  # the process' own environment, which children inherit and others may read
        _set_defaults(names, folder)
    return [Tracker(name, partial(_callback, name, folder), shown, reporter) for name in names]


def _callback(name: str, folder: Path) -> TrainerCallback:
    callback: TrainerCallback = getattr(integration_utils, _CALLBACKS[name])()
    if name == "tensorboard":
        vars(callback)["logging_dir"] = str(folder / "tensorboard")
    return callback


def _set_defaults(names: Sequence[str], folder: Path) -> None:
    """Where the trackers `names` keep things, unless the environment says so already.

    Nothing is sent by these. MLflow would wait for minutes for a server that is gone, and so would
    training.
    """
    near = folder.absolute().parent
    defaults = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{near / 'mlflow.db'}",
        "MLFLOW_EXPERIMENT_NAME": PROJECT,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "TRACKIO_DIR": str(near / "trackio"),
        "WANDB_DIR": str(folder.absolute()),
        "WANDB_PROJECT": PROJECT,
        "WANDB_SILENT": "true",
    }
    if not _logged_in_to_wandb():
        defaults["WANDB_MODE"] = "offline"
    for variable, value in defaults.items():
        if variable.startswith(tuple(f"{name.upper()}_" for name in names)):
            os.environ.setdefault(variable, value)


def _logged_in_to_wandb() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    return False


def _id_of(folder: Path) -> str:
    """The experiment's id, where its folder has a record."""
    with suppress(DataError, OSError):
        return ExperimentFolder(folder).read_record().id
    return ""
