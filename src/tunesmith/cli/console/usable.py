"""Which adapter a command uses: an experiment's, or a registered version."""

from __future__ import annotations

from tunesmith.cli.console.terminal import Terminal
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import AdapterVersion
from tunesmith.store.store import Store

USABLE = "ID|NAME[@VERSION|@STAGE]|latest"


def find_usable(
    reference: str, store: Store, console: Terminal
) -> tuple[Experiment, AdapterVersion | None]:
    """The experiment that `reference` means, and the version where it names one; that is said.

    Raises NotFoundError.
    """
    experiment, version = store.registry.find_for_use(reference)
    if version is not None:
        console.say(
            "{reference} ({stage}), experiment {id}",
            "dim",
            reference=version.reference,
            stage=version.stage,
            id=experiment.id,
        )
    return experiment, version
