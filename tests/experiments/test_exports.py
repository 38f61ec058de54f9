"""Versions compared with each other, and written to files that give the same version again."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import write_reviews
from tests.experiments.test_datasets import imported
from tests.store.records import experiment

from tunesmith.data.reading.files import read_file
from tunesmith.errors import DataError, NotFoundError
from tunesmith.experiments.datasets.versions import compare_versions, export_version
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.settings import Settings
from tunesmith.store.store import Store

# -- comparing and exporting ------------------------------------------------------------------


def test_changes_between_two_versions_are_counted_by_kind(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    rng = random.Random(1)
    words = [a + b + c for a in "bdgklm" for b in ("ano", "eri", "ulu") for c in "nrstx"]
    rows = [
        {"text": " ".join(rng.sample(words, 9)), "label": ("good", "bad")[n % 2]} for n in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported(path, settings, store)
    rows[10]["label"] = "bad"
    rows[21]["text"] = rows[21]["text"].replace(" ", "  ", 1)
    del rows[31]
    rows.append({"text": "something that is new in all of its words", "label": "good"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported(path, settings, store)
    before, after, changes = compare_versions("reviews@1", "reviews@2", settings, 5)
    assert (before.number, after.number) == (1, 2)
    assert (changes.added, changes.removed, changes.relabelled, changes.edited) == (1, 1, 1, 1)
    assert changes.unchanged + changes.moved == 57
    same = compare_versions("reviews@1", "reviews@1", settings, 5)[2]
    assert same.is_empty
    one, two = (
        experiment(
            dataset_hash=version.hash,
            dataset_version=version.number,
            data={"dataset": version.name, "rows": version.rows},
        )
        for version in (before, after)
    )
    (found,) = compare_experiments([one, two], settings, 0).rows
    assert (found.experiment_id, found.old, found.new) == (two.id, "reviews@1", "reviews@2")
    assert found.counts is not None
    assert found.counts["added"] == found.counts["relabelled"] == 1
    (relabelled,) = (row for row in found.examples if row.kind == "relabelled")
    assert relabelled.old is not None
    assert relabelled.new is not None
    assert (relabelled.old["label"], relabelled.new["label"]) == ("good", "bad")
    assert compare_experiments([one, replace(one, id="0" * 12)], settings, 0).rows == ()
    shutil.rmtree(settings.datasets_root)
    (gone,) = compare_experiments([one, two], settings, 0).rows
    assert gone.counts is None
    assert str(gone.note).startswith("Their rows are not here any more")


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet", "jsonl.gz"])
def test_a_version_exported_and_imported_again_is_the_same_version(
    form: str, reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    version, _ = imported(reviews, settings, store)
    target = tmp_path / f"out.{form}"
    assert export_version("reviews@1", target, None, settings, force=False) == [target]
    assert imported(target, settings, store) == (version, False)
    with pytest.raises(DataError, match="is there already; --force overwrites it"):
        export_version("reviews@1", target, None, settings, force=False)
    assert export_version("reviews@1", target, None, settings, force=True) == [target]


def test_a_version_under_another_name_is_exported_as_one_file_too(
    reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    version, _ = imported(reviews, settings, store)
    other, new = imported("reviews@1", settings, store, name="other")
    assert (other.reference, other.hash, new) == ("other@1", version.hash, True)
    export_version("other", tmp_path / "other.csv", None, settings, force=False)
    assert imported(tmp_path / "other.csv", settings, store) == (version, False)


def test_splits_of_the_source_are_kept_and_exported_to_a_folder_or_one_by_one(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    write_reviews(folder / "train.csv", 60)
    write_reviews(folder / "test.csv", 20, seed=9)
    version, _ = imported(folder, settings, store)
    assert (dict(version.splits), dict(version.split_by)) == ({"train": 60, "test": 20}, {})
    written = export_version("reviews", tmp_path / "out", None, settings, force=False)
    assert sorted(path.name for path in written) == ["test.parquet", "train.parquet"]
    assert imported(tmp_path / "out", settings, store) == (version, False)
    (only,) = export_version("reviews", tmp_path / "test.csv", "test", settings, force=False)
    assert read_file(only).table.num_rows == 20
    with pytest.raises(DataError, match=r"has 2 splits \(.*\).* choose one with --split"):
        export_version("reviews", tmp_path / "all.csv", None, settings, force=False)
    assert not (tmp_path / "all.csv").exists()
    with pytest.raises(NotFoundError, match=r"no split 'tst'.* did you mean test\?"):
        export_version("reviews", tmp_path / "x.csv", "tst", settings, force=False)
    with pytest.raises(DataError, match=r"x\.xlsx"):
        export_version("reviews", tmp_path / "x.xlsx", "test", settings, force=False)
