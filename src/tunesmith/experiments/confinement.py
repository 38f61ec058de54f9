"""What may be named over the network: no path outside the data folder, no code of strangers."""

from __future__ import annotations

from pathlib import Path

from tunesmith.config.schema import ExperimentConfig
from tunesmith.data.reading.files import exists
from tunesmith.data.reading.packages import PREFIX
from tunesmith.data.sources import is_hub_dataset
from tunesmith.data.versions.store import is_reference
from tunesmith.errors import DataError, Problem
from tunesmith.settings import Settings
from tunesmith.training.model import is_hub_model


def confinement_problems(config: ExperimentConfig, settings: Settings) -> list[Problem]:
    """What in `config` only somebody at the machine itself may ask for."""
    problems = []
    name = config.data.dataset_name
    if _is_dataset_path(name):
        problems += _path_problems("data.dataset_name", name, settings)
    if not is_hub_model(config.model.name) and not config.model.name.startswith(PREFIX):
        problems += _path_problems("model.name", config.model.name, settings)
    if config.model.trust_remote_code:
        problems.append(
            Problem(
                "model.trust_remote_code",
                "a stranger's code is not run for a request that came over the network",
                True,
                "false; or train at the machine itself",
            )
        )
    return problems


def hub_problems(config: ExperimentConfig) -> list[Problem]:
    """What in `config` lies on the hub, of which nothing is fetched for whoever only reads.

    It would be fetched in the name of whoever runs this, who may see what others may not.
    """
    name = config.data.dataset_name
    if name.startswith(PREFIX) or is_reference(name) or _is_dataset_path(name):
        return []
    return [
        Problem(
            "data.dataset_name",
            "data of the hub are fetched for members and admins only",
            name,
            "a dataset's version such as reviews@3, package:NAME/path, a path in the data folder",
        )
    ]


def _is_dataset_path(name: str) -> bool:
    if name.startswith(PREFIX) or (is_reference(name) and not exists(Path(name))):
        return False
    try:
        return not is_hub_dataset(name)
    except DataError:
        return True


def _path_problems(field: str, name: str, settings: Settings) -> list[Problem]:
    """Where the path leads outside `settings.data_dir`, is hidden, or leads nowhere."""
    root = settings.data_dir.resolve()
    accepted = f"a path in {settings.data_dir}/, package:NAME/path, a name on the hub"
    if field == "data.dataset_name":
        accepted += ", or a dataset's version such as reviews@3"
    try:
        path = Path(name).expanduser().resolve()
        inside = path.relative_to(root)
        there = path.exists()
    except (ValueError, OSError, RuntimeError):
        # One message for all that lies outside, so that nobody learns what is there.
        return [Problem(field, "lies outside the data folder", name, accepted)]
    if any(part.startswith(".") for part in inside.parts):
        return [Problem(field, "hidden files are not read", name, accepted)]
    return [] if there else [Problem(field, "there is no such file or folder", name, accepted)]
