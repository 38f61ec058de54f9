"""Entities as people have them: files of annotation tools, CoNLL, tables of words, other tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import Examination, examine
from tunesmith.data.layouts.laying import laid_question
from tunesmith.data.reading.formats.conll import Conll
from tunesmith.data.sources import read_data
from tunesmith.errors import ConfigError, DataError
from tunesmith.tasks import TASKS
from tunesmith.tasks.parts.entities import entities as entities_of

CASES = Path(__file__).parent / "cases" / "entities"
FIRST = [["Mara Lind", "PER"], ["Oslo", "LOC"]]


def examined(path: Path, task: str = "token-classification", **options: Any) -> Examination:
    request = DataConfig(dataset_name=str(path))
    return examine(request, TASKS[task](TASKS[task].Options(**options)), read_data(request))


def entities(path: Path, **options: Any) -> list[list[list[str]]]:
    """The entities of each row that is left: words and label."""
    request = DataConfig(dataset_name=str(path))
    task: Any = TASKS["token-classification"](TASKS["token-classification"].Options(**options))
    found = examine(request, task, read_data(request))
    rows = found.checked.tables["train"].to_pylist()
    return [[[one["text"], one["label"]] for one in entities_of(task.tagged(row))] for row in rows]


def lines(path: Path, task: str = "token-classification", **options: Any) -> list[str]:
    report = examined(path, task, **options).checked.report
    return [str(line).strip() for line in report.summary().splitlines()]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text if path.suffix == ".jsonl" else json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("case", "rows"),
    [
        ("doccano_new.jsonl", 30), ("labelstudio.json", 30), ("labelstudio_min.json", 30),
        ("ner_annotator_tecoholic.json", 30), ("brat", 4), ("ner_iob1.jsonl", 30),
        ("ner_bioes.jsonl", 30), ("ner_io.jsonl", 30), ("ner_underscore.jsonl", 30),
    ],
)  # fmt: skip
def test_every_row_of_the_cases_is_kept_with_its_entities(case: str, rows: int) -> None:
    found = entities(CASES / case)
    assert len(found) == rows
    assert found[0] == FIRST


@pytest.mark.parametrize("case", ["hf_seqdict", "hf_ner_io"])
def test_columns_of_the_hubs_own_types_are_read(case: str) -> None:
    assert entities(CASES / case) == [[["Mara Lind", "PER"]]] * 12


def test_tags_by_number_ask_for_their_names() -> None:
    with pytest.raises(ConfigError, match=r"task\.labels: the tags in column ner_tags are numbers"):
        examined(CASES / "ner_ints.jsonl")
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert entities(CASES / "ner_ints.jsonl", labels=labels)[0] == FIRST


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("labelstudio.json", "Label Studio: data → text; annotations → entities"),
        ("labelstudio_min.json", "Label Studio (JSON-MIN): text → text; label → entities"),
        ("doccano_new.jsonl", "doccano: text → text; entities → entities"),
        ("doccano_new.jsonl", "not used: id, relations, Comments"),
        (
            "ner_annotator_tecoholic.json",
            "its rows are the list annotations; beside its rows, not used: classes",
        ),
        ("brat", "read as brat"),
    ],
)
def test_the_report_names_the_tool_and_what_it_does_not_use(case: str, line: str) -> None:
    assert line in lines(CASES / case)


# -- Label Studio, as https://labelstud.io/guide/export shows its exports ------------------------


def region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"from_name": "label", "to_name": "text", "type": "labels", "value": value}


def choice(*labels: str) -> dict[str, Any]:
    return {"from_name": "s", "to_name": "text", "type": "choices", "value": {"choices": [*labels]}}


def labelled(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text, "url": "x"}, "annotations": list(annotations)}


def by(*result: dict[str, Any], **marks: Any) -> dict[str, Any]:
    return {"completed_by": 1, "result": list(result), "was_cancelled": False, **marks}


def test_of_several_annotators_one_counts_and_the_others_are_named(tmp_path: Path) -> None:
    rome, paris = region(3, 7, "LOC"), region(3, 7, "ORG")
    path = written(tmp_path / "a.json", [
        labelled("to Rome", by(rome), by(rome)),
        labelled("at Rome", by(paris), by(rome, ground_truth=True)),
        labelled("in Rome", by(rome, was_cancelled=True), by(paris)),
        labelled("so Rome", by(rome, was_cancelled=True)),
        labelled("or Rome"),
        labelled("we Rome", by(rome, {"type": "relation", "from_id": "a", "to_id": "b"})),
    ])  # fmt: skip
    assert entities(path) == [
        [["Rome", "LOC"]], [["Rome", "LOC"]], [["Rome", "ORG"]], [["Rome", "LOC"]]
    ]  # fmt: skip
    said = "\n".join(lines(path))
    assert "annotations[] of further annotators, equal to the first (1)" in said
    assert "annotations[] of further annotators, other than the first (1)" in said
    assert "annotations[].result[] (relation) (1)" in said
    assert "data.url (4)" in said
    assert "6 rows checked, 2 dropped, 4 left" in said


def test_choices_of_label_studio_are_labels(tmp_path: Path) -> None:
    names = ["good", "bad"] * 4
    rows = [labelled(f"text {n} is {name}", by(choice(name))) for n, name in enumerate(names)]
    found = examined(written(tmp_path / "a.json", rows), "text-classification")
    assert found.checked.tables["train"].column("label").to_pylist() == names
    rows[0]["annotations"][0]["result"] = [choice("good", "fast")]
    found = examined(written(tmp_path / "b.json", rows), "text-classification", multi_label=True)
    assert found.checked.tables["train"].column("label").to_pylist()[:2] == [
        ["good", "fast"], ["bad"]
    ]  # fmt: skip


def test_choices_of_the_small_export_are_labels_too(tmp_path: Path) -> None:
    rows = [
        {"id": n, "body": f"text {n}", "mood": mood, "annotator": 1, "annotation_id": n,
         "created_at": "2024-01-01", "lead_time": 1.5}
        for n, mood in enumerate([{"choices": ["good", "fast"]}, {"choices": ["bad"]}] * 3)
    ]  # fmt: skip
    path = written(tmp_path / "a.json", rows)
    found = examined(path, "text-classification", multi_label=True)
    assert found.checked.tables["train"].column("label").to_pylist()[:2] == [
        ["good", "fast"], ["bad"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("label-studio", {"data": {"text": "to Rome"}}),
        ("label-studio-min", {"id": 1, "body": "to Rome", "annotator": 2}),
        ("doccano", {"id": 1, "data": "to Rome"}),
        ("prodigy", {"text": "to Rome", "answer": "accept"}),
    ],
)
def test_an_adapter_is_asked_with_rows_of_the_same_layout(layout: str, row: dict[str, Any]) -> None:
    task = TASKS["token-classification"](TASKS["token-classification"].Options())
    asked = laid_question(row, task, layout)
    assert isinstance(asked, dict)
    assert asked["text"] == "to Rome"


# -- doccano, Prodigy, spaCy, NER Annotator: as their documentation shows their files ------------


def test_doccano_of_every_version_is_read(tmp_path: Path) -> None:
    old = written(tmp_path / "old.jsonl", [
        {"id": 1, "text": "EU rejects German call", "label": [[0, 2, "ORG"], [11, 17, "MISC"]]},
        {"id": 2, "text": "Peter Blackburn", "label": [[0, 15, "PERSON"]]},
        {"id": 3, "text": "President Obama", "label": [[10, 15, "PERSON"]]},
    ])  # fmt: skip
    assert entities(old)[0] == [["EU", "ORG"], ["German", "MISC"]]
    data = written(tmp_path / "data.jsonl", [
        {"id": n, "data": f"text {n}", "label": [label]} for n, label in enumerate("abab")
    ])  # fmt: skip
    found = examined(data, "text-classification").checked
    assert found.tables["train"].column("label").to_pylist() == ["a", "b", "a", "b"]
    assert "doccano: data → text; label → label" in found.report.summary()


def test_what_prodigy_did_not_accept_is_left_out_and_said(tmp_path: Path) -> None:
    span = {"start": 0, "end": 5, "token_start": 0, "token_end": 0, "label": "ORG"}
    tokens = [{"text": "Apple", "start": 0, "end": 5, "id": 0, "ws": True}]
    rows = [
        {"text": f"Apple {answer}", "_input_hash": 1, "tokens": tokens, "spans": [span],
         "_view_id": "ner_manual", "answer": answer}
        for answer in ("accept", "reject", "ignore")
    ]  # fmt: skip
    path = written(tmp_path / "a.jsonl", rows)
    assert entities(path) == [[["Apple", "ORG"]]]
    said = "\n".join(lines(path))
    assert "3 rows checked, 2 dropped, 1 left" in said
    reasons = {f.advice for f in examined(path).checked.report.findings}
    assert {"answer is reject: what Prodigy showed is wrong",
            "answer is ignore: it was skipped in Prodigy"} <= reasons  # fmt: skip


def test_prodigys_choices_are_labels(tmp_path: Path) -> None:
    rows = [
        {"text": f"text {n}", "options": [{"id": "A", "text": "a"}], "accept": [label],
         "answer": "accept"}
        for n, label in enumerate("ABAB")
    ]  # fmt: skip
    found = examined(written(tmp_path / "a.jsonl", rows), "text-classification")
    assert found.checked.tables["train"].column("label").to_pylist() == ["A", "B", "A", "B"]


def test_as_many_classes_as_texts_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [["Ada here", {"entities": [[0, 3, "PER"]]}], ["no one", {"entities": []}]]
    path.write_text(json.dumps({"classes": ["PER", "LOC"], "annotations": rows}))
    assert entities(path) == [[["Ada", "PER"]], []]


def test_spacys_examples_are_read_and_its_binary_files_named(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(
        '[["Who is Shaka Khan?", {"entities": [[7, 17, "PERSON"]]}], ["No one.", {"entities": []}]]'
    )
    assert entities(path) == [[["Shaka Khan", "PERSON"]], []]
    document = {"text": "Shaka Khan", "ents": [{"start": 0, "end": 10, "label": "PERSON"}],
                "tokens": [{"id": 0, "start": 0, "end": 5}]}  # fmt: skip
    assert entities(written(tmp_path / "docs.jsonl", [document, document])) == [
        [["Shaka Khan", "PERSON"]]
    ] * 2  # fmt: skip
    (tmp_path / "train.spacy").write_bytes(b"x\x9c\x00")
    with pytest.raises(DataError, match=r"where spaCy is installed, .*DocBin"):
        read_data(DataConfig(dataset_name=str(tmp_path / "train.spacy")))


# -- CoNLL ---------------------------------------------------------------------------------------

WORDS = [
    "EU B-ORG",
    "rejects O",
    "German B-MISC",
    "call O",
    "",
    "Peter B-PER",
    "Blackburn I-PER",
    "",
]
EXPECTED = [[["EU", "ORG"], ["German", "MISC"]], [["Peter Blackburn", "PER"]]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.conll", "\n".join(WORDS)),
        ("a.txt", "\n".join(WORDS)),
        ("a.iob", "\n".join(WORDS).replace(" ", "\t")),
        ("a.tsv", "\n".join(WORDS).replace(" ", "\t")),
        ("a.csv", "word,tag\n" + "\n".join(WORDS).replace(" ", ",")),
        ("a.txt", "\r\n".join(WORDS)),
        ("a.txt", "-DOCSTART- -X- -X- O\n\n" + "\n".join(WORDS).replace(" ", " NNP B-NP ")),
        ("a.txt", "# id 5a domain=en\n" + "\n".join(WORDS).replace(" ", " _ _ ")),
        ("a.bio", "\n".join(WORDS).replace("B-", "").replace("I-", "")),
        (
            "a.tsv",
            "#\thttp://example.org [2009-10-17]\n1\tEU\tB-ORG\tO\n2\trejects\tO\tO\n"
            "3\tGerman\tB-MISC\tO\n4\tcall\tO\tO\n\n#\tx\n1\tPeter\tB-PER\tO\n2\tBlackburn\tI-PER\tO\n",
        ),
    ],
)
def test_conll_files_of_every_making_are_sentences(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert entities(path) == EXPECTED


def test_characters_of_chinese_are_words_of_a_conll_file(tmp_path: Path) -> None:
    text = "\n".join(f"{c} {t}" for c, t in zip("我在台北", "OOBE", strict=True))
    path = tmp_path / "msra.train"
    path = path.with_suffix(".txt")
    path.write_text(text.replace(" B", " B-LOC").replace(" E", " E-LOC") + "\n\n我 O\n", "utf-8")
    assert entities(path) == [[["台 北", "LOC"]], []]


def test_a_line_of_another_width_costs_its_sentence_and_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("\n".join(WORDS * 6) + "\nAda B-PER\nbroken\n\nend O\n")
    report = examined(path).checked.report
    assert (report.rows_in, report.rows_out) == (14, 13)
    (finding,) = (f for f in report.findings if f.rule == "unreadable_rows")
    assert "line 50: has 1 value instead of 2" in finding.advice


def test_documents_stay_known(tmp_path: Path) -> None:
    text = "-DOCSTART- O\n\n" + "\n".join(WORDS) + "\n-DOCSTART- O\n\n" + "\n".join(WORDS)
    (tmp_path / "a.txt").write_text(text)
    table = read_data(DataConfig(dataset_name=str(tmp_path / "a.txt"))).tables["train"]
    assert table.column("document").to_pylist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        "A story.\n\nIt has lines\nand more.\n",
        "hello world\n\ngood day\n",
        '{"a": 1}\n\n{"a": 2}\n',
    ],
)
def test_other_texts_are_no_conll(tmp_path: Path, text: str) -> None:
    assert not Conll().recognizes_text(text)


# -- a word a row --------------------------------------------------------------------------------


def words(*, filled: bool) -> pd.DataFrame:
    rows = []
    for number, sentence in enumerate((WORDS[:4], WORDS[5:7]), 1):
        for place, line in enumerate(sentence):
            word, tag = line.split()
            mark = f"Sentence: {number}" if filled or place == 0 else None
            rows.append({"Sentence #": mark, "Word": word, "POS": "NN", "Tag": tag})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("filled", [True, False])
def test_a_table_of_words_becomes_sentences(tmp_path: Path, *, filled: bool) -> None:
    path = tmp_path / "ner_dataset.csv"
    words(filled=filled).to_csv(path, index=False)
    assert entities(path) == EXPECTED
    assert "6 rows of one word each, read as 2 sentences by column Sentence #" in lines(path)


def test_a_table_of_words_may_be_parquet_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ner.parquet"
    frame = words(filled=True).rename(columns={"Sentence #": "sentence_id", "Tag": "labels"})
    frame["sentence_id"] = frame["sentence_id"].str[10:].astype(int)
    frame.to_parquet(path)
    assert entities(path) == EXPECTED


def test_words_without_sentences_are_said(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    words(filled=True)[["Word", "Tag"]].to_csv(path, index=False)
    assert any("every row is one word" in line for line in lines(path))


def test_a_table_of_texts_is_not_gathered(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    rows = [{"sentence": f"text number {n}", "word": "x", "label": "ab"[n % 2]} for n in range(8)]
    pd.DataFrame(rows).to_csv(path, index=False)
    assert examined(path, "text-classification").checked.report.rows_in == 8


# -- brat ----------------------------------------------------------------------------------------


def test_what_a_brat_folder_holds_besides_entities_is_said(tmp_path: Path) -> None:
    text = "Ada Lovelace\r\nlives in 🎉 London and Paris"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "a.ann").write_text(
        "T1\tPER 0 12\tAda Lovelace\nT2\tLOC 25 31;36 41\tLondon Paris\nR1\tLIVES Arg1:T1 Arg2:T2\n"
    )
    (tmp_path / "b.txt").write_text("not annotated")
    (tmp_path / "c.ann").write_text("T1\tPER 0 3\tAda\n")
    (tmp_path / "annotation.conf").write_text("[entities]\nPER\n")
    assert entities(tmp_path) == [[["Ada Lovelace", "PER"], ["London and Paris", "LOC"]]]
    said = "\n".join(lines(tmp_path))
    assert "1 entity of several pieces: read from the first to the last" in said
    assert "not used of the annotations: relations (1)" in said
    assert "1 text without annotations left out: b.txt" in said
    assert "2 rows checked, 1 dropped, 1 left" in said


def test_brat_folders_may_be_named_by_split(tmp_path: Path) -> None:
    for split, name in (("train", "Ada"), ("dev", "Bob")):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.txt").write_text(f"{name} is here")
        (tmp_path / split / "a.ann").write_text(f"T1\tPER 0 3\t{name}\n")
    found = read_data(DataConfig(dataset_name=str(tmp_path)))
    assert {split: table.num_rows for split, table in found.tables.items()} == {
        "train": 1, "validation": 1
    }  # fmt: skip


def test_a_brat_folder_whose_texts_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "a.ann").write_text("T1\tPER 0 3\tsec\n")
    with pytest.raises(DataError, match="symbolic link"):
        read_data(DataConfig(dataset_name=str(folder)))
