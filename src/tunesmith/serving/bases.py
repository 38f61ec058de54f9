"""The base model of an adapter: found on this machine, and the very one it was trained on."""

from __future__ import annotations

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.settings import Settings
from tunesmith.training.model import ModelSource, locate_model


def find_base(adapter: SavedAdapter, config: ExperimentConfig, settings: Settings) -> ModelSource:
    """The model that `config` names.

    Raises ModelError when it can't be used here, AccessError when it lies on the hub only and
    nothing may be fetched for who asks.
    """
    model = config.model
    try:
        return locate_model(
            model.name,
            cache=settings.cache_dir,
            revision=model.revision,
            token=settings.token,
            trust_remote_code=model.trust_remote_code,
            fetch=adapter.may_fetch,
        )
    except ModelError as error:
        raise ModelError(
            f"experiment {adapter.experiment_id} was trained on the base model {model.name}, which "
            f"can't be used here: {error}"
        ) from error


def check_base(adapter: SavedAdapter, source: ModelSource) -> None:
    """Raises ModelError when `source` is not the model that `adapter` was trained on."""
    if adapter.identity in (None, source.identity):
        return
    raise ModelError(
        f"the base model {source.name} is not the one that experiment {adapter.experiment_id} was "
        f"trained on: it was {_short(str(adapter.identity))} then, and is "
        f"{_short(source.identity)} now. An adapter means nothing on other weights: put the old "
        "model back, or train again."
    )


def _short(identity: str) -> str:
    """The beginning of a model's identity, which tells it from another's."""
    return identity[:19] + "…" if len(identity) > 20 else identity
