"""`tunesmith predict` as people use it: texts, tables and streams in, JSON Lines or CSV out."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.languages import is_translated
from tests.serving.conftest import chat_config as chat_config
from tests.serving.conftest import chatter as chatter
from tests.serving.conftest import classifier as classifier
from tests.serving.conftest import reviews_config as reviews_config
from tests.serving.conftest import trained_settings as trained_settings

from tunesmith.cli.adapters import predict as command
from tunesmith.errors import DataError, NotFoundError
from tunesmith.experiments import TrainedExperiment
from tunesmith.experiments.registry.promotion import change_stage, register, version_of
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import Stage
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.streams import LONGEST_LINE, read_stream
from tunesmith.settings import Settings
from tunesmith.store.store import Store

GOOD, BAD = "a superb film with a lovely plot", "a dull and awful story"


@pytest.fixture(autouse=True)
def environment(trained_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", trained_settings.store_url)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(trained_settings.results_dir))
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", str(trained_settings.cache_dir))
    monkeypatch.setattr(command, "FIRST", 2)  # so that a few rows are several portions
    monkeypatch.setattr(command, "AT_ONCE", 3)


def call(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(
        command.predict, [*arguments, *(["--device", "cpu"])], input=stdin, catch_exceptions=False
    )


def answers(result: Result) -> list[object]:
    return [json.loads(line).get("answer") for line in result.stdout.splitlines()]


def test_one_text_is_answered(classifier: TrainedExperiment) -> None:
    done = call(classifier.id, "--text", GOOD, "--base")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["row"], line["input"], line["answer"], line["cut"]) == (1, GOOD, "good", False)
    assert line["probabilities"]["good"] > 0.5
    assert "has no answer of its own" in done.stderr
    assert done.exit_code == 0


def test_each_text_is_answered_in_its_order(classifier: TrainedExperiment) -> None:
    done = call(classifier.id, "--text", GOOD, "--text", BAD, "--text", "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["row"], line["input"], line["answer"]) for line in lines[:2]] == [
        (1, GOOD, "good"), (2, BAD, "bad"),
    ]  # fmt: skip
    assert lines[2]["row"] == 3


def test_the_version_in_production_is_asked_by_its_name(
    classifier: TrainedExperiment, trained_settings: Settings
) -> None:
    weights = locate_adapter(classifier.record, trained_settings).weights_hash()
    with Store(trained_settings.store_url) as store:
        version = register(version_of(classifier.record, "films", weights), store)
        with pytest.raises(NotFoundError, match="no version of films in production"):
            call("films", "--text", GOOD)
        change_stage(version, Stage.PRODUCTION, store, trained_settings)
    for reference in ("films", "films@1", "films@production"):
        done = call(reference, "--text", GOOD)
        assert answers(done) == ["good"]
        assert f"films@1 (production), experiment {classifier.id}" in done.stderr


def test_lines_of_standard_input_are_answered_in_their_order(
    classifier: TrainedExperiment,
) -> None:
    done = call(classifier.id, "-", stdin="\n".join([GOOD, BAD, BAD, GOOD, BAD, f"{GOOD} {GOOD}"]))
    assert answers(done) == ["good", "bad", "bad", "good", "bad", "good"]
    assert "6 answered" in done.stderr


def test_rows_that_cant_be_asked_get_an_error_and_the_others_an_answer(
    classifier: TrainedExperiment, tmp_path: Path
) -> None:
    file = tmp_path / "asked.jsonl"
    lines = [json.dumps({"review": GOOD}), "{broken", json.dumps({"reviw": BAD}), json.dumps(BAD)]
    file.write_text("\n".join(lines), encoding="utf-8")
    done = call(classifier.id, str(file))
    assert answers(done) == ["good", None, None, "bad"]
    errors = [json.loads(line).get("error") for line in done.stdout.splitlines()]
    assert errors[1].startswith("not valid JSON")
    assert "did you mean reviw" in errors[2]
    assert "2 not answered" in done.stderr
    assert done.exit_code == 2


def test_a_table_becomes_a_table_that_appears_whole(
    classifier: TrainedExperiment, tmp_path: Path
) -> None:
    file, target = tmp_path / "asked.csv", tmp_path / "answered.csv"
    file.write_text(f'id,review\n7,{GOOD}\n8,"{BAD}\nand dull"\n9\n', encoding="utf-8")
    done = call(classifier.id, str(file), "--format", "csv", "-o", str(target))
    assert done.stdout == ""
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert [row["answer"] for row in rows] == ["good", "bad", ""]
    assert rows[2]["error"] == "has 1 values, the header 2"
    target.unlink()
    file.write_text(f'review\n{GOOD}\n"never closed\n', encoding="utf-8")
    with pytest.raises(DataError, match="can't be read"):
        call(classifier.id, str(file), "-o", str(target))
    assert not [path.name for path in tmp_path.iterdir() if "answered" in path.name]


def test_a_chat_model_answers_conversations_beside_its_base_model(
    chatter: TrainedExperiment, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": BAD}]
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    done = call(chatter.id, str(file), "--base", "--max-new-tokens", "3")
    line = json.loads(done.stdout)
    assert line["answer"] == "bad"
    assert line["base"]["answer"] != "bad"


def test_a_stream_is_read_row_by_row_and_a_line_without_end_is_not_kept() -> None:
    # A pipe that stays open: who reads ahead of what was written waits for ever.
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as feed:
        rows = read_stream(stream, "text")
        for number in (1, 2, 3):
            feed.write(b"a text\n")
            assert next(rows).row == number
    long = io.BytesIO(b"x" * (3 * LONGEST_LINE) + b"\nshort\n\xff\n")
    found = list(read_stream(long, "text"))
    assert [one.question for one in found] == [None, "short", None]
    assert [one.fault for one in found] == [
        f"the line is longer than {LONGEST_LINE:,} bytes", None, "the line is not UTF-8 (byte 1)"
    ]  # fmt: skip


def test_a_text_and_a_file_together_are_refused() -> None:
    assert call("latest", "-", "--text", GOOD).exit_code == 2
    assert "one of them" in call("latest").stderr


def test_an_adapter_is_found_where_the_results_folder_was_moved_to(
    classifier: TrainedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store and the folders moved together: the record names a place that is no more."""
    moved = tmp_path / "moved"
    shutil.copytree(classifier.path, moved / classifier.path.name)
    gone = replace(classifier.record, directory=f"/nowhere/{classifier.path.name}")
    with Store(f"sqlite:///{tmp_path / 'moved.db'}") as store:
        store.put(gone, [])
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", f"sqlite:///{tmp_path / 'moved.db'}")
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(moved))
    there = Settings.read()
    assert answers(call(classifier.id, "--text", GOOD)) == ["good"]
    folder = ExperimentFolder.of(gone, there)
    assert len(list(folder.read_predictions())) == len(classifier.predictions)
    log = folder.read_log(0, 100)[0]
    assert log.startswith(classifier.path.joinpath("logs.txt").read_bytes()[:50])
    other = replace(gone, id="0" * 12)  # the folder is another experiment's
    assert ExperimentFolder.of(other, there).path == Path(str(gone.directory))
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(NotFoundError, match="tunesmith experiments import FOLDER") as error:
        call(classifier.id, "--text", GOOD)
    assert f"/nowhere/{classifier.path.name} does not hold it" in str(error.value)
    assert is_translated(str(error.value))
