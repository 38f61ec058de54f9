"""Going on with an experiment that was stopped: the same configuration, data and model, or not."""

from __future__ import annotations

from typing import Any

from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.errors import StateError
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.experiments.lifecycle.states import why_not_again
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.writing import write_text
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment


def resumable(experiment: Experiment, settings: Settings) -> Prepared:
    """What is needed to resume it, checked to be what it was. Raises StateError with the reason."""
    repeat_it = say(
        "it has already succeeded; repeat it with: tunesmith rerun {id}", id=experiment.id
    )
    if hint := why_not_again(experiment, repeat_it):
        raise StateError("experiment {id} can't be resumed: {hint}.", id=experiment.id, hint=hint)
    if experiment.dataset_hash is None:  # its data were never read
        return prepare(read_draft(experiment.config), settings)
    return prepare_unchanged(experiment, settings)


def sides_before(experiment: Experiment) -> dict[str, Any]:
    """The fields that give an experiment of 0.1, which knew no validation side, its rows again.

    Dotted field → value; none for one that knows three sides.
    """
    asked = experiment.config["data"]
    if "validation_samples" in asked:
        return {}
    fields: dict[str, Any] = {"data.validation_samples": 0}
    judged = ((experiment.data.get("splits") or {}).get("evaluation") or {}).get("from")
    trained = ((experiment.data.get("splits") or {}).get("train") or {}).get("from")
    if asked.get("eval_split") is None and judged not in (None, trained):
        fields["data.eval_split"] = judged
    return fields


def prepare_unchanged(experiment: Experiment, settings: Settings) -> Prepared:
    """Find the experiment's data and model again, and refuse if they aren't what they were."""
    folder = ExperimentFolder.of(experiment, settings).make()
    if not folder.config.exists():  # another machine's folder
        write_text(folder.config, to_yaml(read_draft(experiment.config).config()))
    sides = sides_before(experiment)
    prepared = prepare(read_draft(folder.config, fields=sides), settings)
    # Read again: an earlier version's record has no field that came since; its default holds.
    if prepared.config != read_draft(experiment.config, fields=sides).config():
        raise StateError(
            "experiment {id} can't be resumed: its config.yaml was changed since it "
            "was submitted ({path}).",
            id=experiment.id,
            path=folder.config,
        )
    now, then = prepared.dataset.identity, experiment.data
    if now["hash"] != then["hash"] or now["splits"] != then["splits"]:
        raise StateError(
            "experiment {id} can't be resumed: {dataset_name} was changed since "
            "(content hash {hash}…, was {hash2}…). Start a new experiment with the "
            "new data.",
            id=experiment.id,
            dataset_name=experiment.dataset_name,
            hash=now["hash"][:19],
            hash2=str(then["hash"])[:19],
        )
    was = experiment.environment["base_model"]["identity"]
    if prepared.source.identity != was:
        raise StateError(
            "experiment {id} can't be resumed: the base model {name} was changed since.",
            id=experiment.id,
            name=experiment.model_name,
        )
    return prepared
