"""What a command that uses an adapter is told to use: an experiment, or a registered version."""

from __future__ import annotations

from rich.console import Console

from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.registry_entities import AdapterVersion
from tunesmith.tracking.store import Store

USABLE = "ID|NAME[@VERSION|@STAGE]|latest"


def find_usable(
    reference: str, store: Store, console: Console
) -> tuple[Experiment, AdapterVersion | None]:
    """The experiment that `reference` means, and the version where it names one; that is said.

    Raises NotFoundError.
    """
    experiment, version = store.registry.find_for_use(reference)
    if version is not None:
        console.print(
            f"{version.reference} ({version.stage}), experiment {experiment.id}",
            style="dim", markup=False, highlight=False,
        )  # fmt: skip
    return experiment, version
