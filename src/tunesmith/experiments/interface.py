"""The Python interface, for notebooks: `tunesmith.train("config.yaml", epochs=3)`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.config.yaml import FLAGS, read_draft
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.reporting.reporter import Reporter


@dataclass(frozen=True)
class TrainedExperiment:
    """An experiment that was trained, with its results at hand."""

    record: Experiment

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.record.id

    @property
    def status(self) -> ExperimentStatus:
        """How it ended."""
        return self.record.status

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The results, as in `metrics.json`."""
        return self.record.metrics

    @property
    def path(self) -> Path:
        """The experiment's folder."""
        return Path(self.record.directory or "")

    @property
    def adapter(self) -> Path:
        """The folder of the trained adapter."""
        return ExperimentFolder(self.path).adapter

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """What it answered for each held-out row: text, expected, predicted, confidence."""
        with ExperimentFolder(self.path).predictions.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def train(
    config: str | Path | Mapping[str, Any] = "config/default.yaml",
    *,
    listener: Reporter | None = None,
    settings: Settings | None = None,
    **overrides: Any,
) -> TrainedExperiment:
    """Train an experiment here and now.

    `config` is a YAML file or the same as a mapping. `overrides` are the command's flags
    (`learning_rate=1e-3, epochs=3`) or dotted fields (`**{"lora.r": 16}`); they win over `config`.
    Raises ConfigError with every problem, or what made the training fail.
    """
    settings = settings or Settings.read()
    flags = {name: value for name, value in overrides.items() if name in FLAGS}
    fields = {name: value for name, value in overrides.items() if name not in FLAGS}
    source = config if isinstance(config, Mapping) else Path(config)
    prepared = prepare(read_draft(source, flags, fields=fields), settings)
    with Store(settings.store_url) as store:
        reconcile(store, settings)
        experiment = submit(prepared, store, settings)
        return TrainedExperiment(
            execute(experiment.id, store, settings, prepared=prepared, listener=listener)
        )
