"""What may be named over the network: no path outside the data folder, no code of strangers."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith import names
from tunesmith.config.schema import ExperimentConfig
from tunesmith.data.sources import parse_dataset
from tunesmith.errors import Problem
from tunesmith.messages import say
from tunesmith.models.locate import parse_model
from tunesmith.settings import Settings

_BREACHES = {
    "outside": say("lies outside the data folder"),
    "hidden": say("hidden files are not read"),
    "none": say("there is no such file or folder"),
}


def confinement_problems(config: ExperimentConfig, settings: Settings) -> Iterator[Problem]:
    """What in `config` only somebody at the machine itself may ask for."""
    accepted = say(
        "a path in {data_dir}/, package:NAME/path, a name on the hub", data_dir=settings.data_dir
    )
    version = say(", or a dataset's version such as reviews@3")
    data, model = parse_dataset(config.data.dataset_name), parse_model(config.model.name)
    for field, reference, allowed in (
        ("data.dataset_name", data, accepted + version),
        ("model.name", model, accepted),
    ):
        if (breach := names.breach(reference, settings.data_dir)) is not None:
            yield Problem(field, _BREACHES[breach], str(reference), allowed)
    if isinstance(data, names.Query) and data.address not in settings.databases.split():
        yield Problem(
            "data.dataset_name",
            say("databases are read over the network only where TUNESMITH_DATABASES names them"),
            str(data),
            accepted + version,
        )
    if config.model.trust_remote_code:
        yield Problem(
            "model.trust_remote_code",
            say("a stranger's code is not run for a request that came over the network"),
            True,
            say("false; or train at the machine itself"),
        )


def hub_problems(config: ExperimentConfig) -> Iterator[Problem]:
    """What in `config` lies on the hub, of which nothing is fetched for whoever only reads.

    It would be fetched in the name of whoever runs this, who may see what others may not.
    """
    name = config.data.dataset_name
    if isinstance(parse_dataset(name), names.Hub):
        yield Problem(
            "data.dataset_name",
            say("data of the hub are fetched for members and admins only"),
            name,
            say(
                "a dataset's version such as reviews@3, package:NAME/path, a path in the "
                "data folder"
            ),
        )
