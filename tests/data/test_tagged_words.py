"""Words with tags or places as other tools keep them: GLiNER, spaCy 2, `datasets`, PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from tests.data.test_entities import entities, examined, lines, written
from tests.tasks.test_token_classification import pieces

from tunesmith.data.layouts.laying import laid_question
from tunesmith.data.reading.files import read_file
from tunesmith.tasks import TASKS
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.entities import runs
from tunesmith.tasks.token_classification import TokenClassification

__all__ = ["pieces"]

WORDS = ["Mara", "Lind", "lives", "in", "Oslo"]
FOUND = [["Mara Lind", "PER"], ["Oslo", "LOC"]]


def test_gliners_spans_count_words_and_include_the_last(tmp_path: Path) -> None:
    rows = [{"tokenized_text": WORDS, "ner": [[0, 1, "PER"], [4, 4, "LOC"]]}] * 3
    odd = {"tokenized_text": WORDS, "ner": [[4, 5, "LOC"]]}
    path = written(tmp_path / "gliner.json", [*rows, odd])
    assert entities(path) == [FOUND] * 3
    found = examined(path).checked.report.table.to_dicts()
    assert "words 4 to 5, is not in its 5 words" in str(found)
    assert "GLiNER: tokenized_text → text; ner → entities" in lines(path)
    task = TASKS["token-classification"](TASKS["token-classification"].Options())
    asked: Any = laid_question({"tokenized_text": WORDS}, task, "gliner")
    assert asked["text"] == " ".join(WORDS)


def spacy_document(*tags: str) -> dict[str, Any]:
    words = [{"id": n, "orth": word, "ner": tag, "dep": "nsubj"} for n, (word, tag) in
             enumerate(zip(WORDS, tags, strict=True))]  # fmt: skip
    sentences = [{"tokens": words[:2]}, {"tokens": words[2:], "brackets": []}]
    cats = [{"label": "news", "value": 1.0}, {"label": "sport", "value": 0.0}]
    return {"id": 1, "paragraphs": [{"raw": " ".join(WORDS), "sentences": sentences, "cats": cats}]}


def test_training_data_of_spacy_2_is_read(tmp_path: Path) -> None:
    tags = [("B-PER", "L-PER", "O", "O", "U-LOC"), ("B-PER", "L-PER", "-", "O", "U-LOC")]
    path = written(tmp_path / "train.json", [spacy_document(*each) for each in tags])
    assert entities(path) == [FOUND] * 2
    said = "\n".join(lines(path))
    assert "2 paragraphs of 2 documents" in said
    assert "tokens[].dep" in said
    assert "1 words have the tag -100" in said
    labels = examined(path, "text-classification").checked.tables["train"].column("label")
    assert labels.to_pylist() == ["news", "news"]


def test_documents_with_other_paragraphs_are_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{"text": "a", "paragraphs": ["b"]}])
    assert read_file(path).table.column_names == ["text", "paragraphs", "_row"]


def test_words_with_the_tag_minus_100_are_neither_learned_nor_judged(tmp_path: Path) -> None:
    tags = [[1, -100, 2, 0, -100], [0, 0, -100, 0, 1], [-100] * 5]
    rows = [{"tokens": WORDS, "ner_tags": each} for each in tags]
    path = written(tmp_path / "tags.jsonl", rows)
    names = ["O", "B-PER", "I-PER"]
    assert entities(path, labels=names) == [[["Mara Lind lives", "PER"]], [["Oslo", "PER"]]]
    assert "ner_tags: 8 words have the tag -100: they are neither learned nor judged" in lines(
        path, labels=names
    )
    report = examined(path, labels=names).checked.report
    assert (3, "missing_labels") in [(row["row"], row["rule"]) for row in report.table.to_dicts()]


def test_an_entity_goes_on_over_words_without_a_tag_and_ends_at_the_last_with_one() -> None:
    assert runs(["B-A", "-100", "I-A", "-100", "O"]) == [(0, 3, "A")]


def test_what_is_said_of_untagged_words_counts_for_nothing(pieces: Any) -> None:
    task = TokenClassification(TokenClassification.Options())
    task.bind({"tokens": "tokens", "tags": "ner_tags"})
    task.labels = ["O", "B-A", "I-A"]
    row = {"_row": 1, "tokens": ["new", "york", "in"], "ner_tags": ["B-A", "-100", "O"]}
    (example,) = task.encode([row], pieces, 8)
    assert example["labels"] == [1, IGNORED, 0]
    assert example["targets"] == 2
    tagged = task.tagged(row)
    found, _ = task._tagged_by(tagged, ([0, 1, 2], [1, 2, 3]), [1, 1, 0], [0.9, 0.9, 0.9])
    prediction = task._prediction(row, tagged, found, 1.0, [0, 1, 2], [0.9, 0.9, 0.9])
    assert prediction.correct
    assert (prediction.tokens, prediction.tokens_correct) == (2, 2)
    assert task.baseline([row], [row])["value"] == 1.0


def labelled() -> datasets.Dataset:
    kinds = datasets.ClassLabel(names=["O", "B-PER"])
    features = datasets.Features({
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["bad", "good"]),
        "tags": datasets.Sequence(kinds),
        "marks": [{"kind": kinds, "n": datasets.Value("int32")}],
    })  # fmt: skip
    columns = {
        "text": ["a", "b", "c"],
        "label": [1, 0, -1],
        "tags": [[0, 1], [], [1]],
        "marks": [[{"kind": 1, "n": 7}], [], [{"kind": 0, "n": 8}]],
    }
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_files_of_datasets_show_classes_by_their_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        labelled().to_parquet(path)
    else:
        pyarrow.feather.write_feather(labelled().data.table, path, compression="uncompressed")
    table = read_file(path).table
    assert table.column("label").to_pylist() == ["good", "bad", None]
    assert table.column("tags").to_pylist() == [["O", "B-PER"], [], ["B-PER"]]
    assert table.column("marks").to_pylist()[0] == [{"kind": "B-PER", "n": 7}]
    assert not table.schema.metadata


@pytest.mark.parametrize("said", [b"{", b'{"info": 1}', b"[]", b'{"info": {"features": []}}'])
def test_other_metadata_change_nothing(tmp_path: Path, said: bytes) -> None:
    table = pa.table({"label": [0, 1]}).replace_schema_metadata({b"huggingface": said})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet").table.column("label").to_pylist() == [0, 1]


def test_names_fit_integers_alone(tmp_path: Path) -> None:
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["bad", "good"]}}}}
    table = pa.table({"label": ["1", "x"]})
    table = table.replace_schema_metadata({b"huggingface": json.dumps(names).encode()})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet").table.column("label").to_pylist() == ["1", "x"]
