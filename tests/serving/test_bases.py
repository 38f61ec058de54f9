"""The base model of an adapter: whose requests fetch it from the hub."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import AccessError
from tunesmith.models import locate
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.settings import Settings


@pytest.mark.parametrize("may_fetch", [True, False])
def test_where_nothing_may_be_fetched_the_hub_is_not_asked(
    tiny_distilbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_fetch: bool
) -> None:
    values: dict[str, Any] = {
        "task": {"name": "text-classification"},
        "model": {"name": "some/private-model"},
        "data": {"dataset_name": "some/reviews"},
    }
    config = ExperimentConfig.model_validate(values)
    here = False

    def snapshot(*_: Any, local_files_only: bool, **__: Any) -> str:
        if local_files_only and not here:
            raise LocalEntryNotFoundError("not in the cache")
        return str(tiny_distilbert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(locate, "hub_is_reachable", lambda: True)
    adapter = SavedAdapter("0" * 12, tmp_path, values, None, may_fetch)
    adapter = pickle.loads(pickle.dumps(adapter))  # noqa: S301 (so it reaches the process that answers)
    settings = Settings(_env_file=None, TUNESMITH_CACHE_DIR=tmp_path)
    if may_fetch:
        assert adapter.find_base(config, settings).folder == tiny_distilbert
        return
    with pytest.raises(AccessError, match="fetched for members and admins only"):
        adapter.find_base(config, settings)
    here = True
    assert adapter.find_base(config, settings).folder == tiny_distilbert
