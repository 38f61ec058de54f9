"""Files of questions that must be read as a whole, as the data were."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pandas
import pytest

from tunesmith.config.schema import DataConfig
from tunesmith.data.layouts import LAYOUTS
from tunesmith.data.layouts.laying import laid_question
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError
from tunesmith.experiments.datasets.importing import import_data, inquire
from tunesmith.serving.streams import Asked, read_table
from tunesmith.settings import Settings
from tunesmith.store.store import Store
from tunesmith.tasks import TASKS

ROWS = pandas.DataFrame({"text": ["這個水壺很好用", "用了兩天就壞掉"], "note": ["a", "b"]})


def asked(path: Path) -> DataConfig:
    return DataConfig(dataset_name=str(path))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(";", "utf-8"), (",", "cp950"), ("\t", "utf-16")]
)
def test_tables_are_asked_as_they_are_checked(
    tmp_path: Path, name: str, delimiter: str, encoding: str
) -> None:
    ROWS.to_csv(tmp_path / name, index=False, sep=delimiter, encoding=encoding)
    found = read_table(asked(tmp_path / name))
    assert found is not None
    assert list(found) == [Asked(n, row) for n, row in enumerate(ROWS.to_dict("records"), 1)]


def test_rows_that_can_t_be_read_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;note\na;1\nb\nc;2\nd;3;4\ne;5\nf\n")
    found = list(read_table(asked(tmp_path / "a.csv")) or ())
    assert [one.row for one in found] == [1, 2, 3, 4, 5, 6]
    assert [bool(one.fault) for one in found] == [False, True, False, True, False, True]


def test_words_of_sentences_are_asked_as_sentences(tmp_path: Path) -> None:
    table = pandas.DataFrame({"sentence_id": [1, 1, 2], "word": ["a", "b", "c"], "tag": ["O"] * 3})
    table.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.txt").write_text("a O\nb O\n\nc B-X\n")
    for name, column in (("a.csv", "word"), ("a.txt", "tokens")):
        found = list(read_table(asked(tmp_path / name)) or ())
        rows = {one.row: one.question for one in found if isinstance(one.question, dict)}
        assert {row: said[column] for row, said in rows.items()} == {1: ["a", "b"], 2: ["c"]}


def test_a_folder_is_asked_split_by_split_and_a_version_by_its_name(
    tmp_path: Path, settings: Settings, store: Store
) -> None:
    (tmp_path / "all").mkdir()
    for split in ("train", "test"):
        rows = pandas.DataFrame(
            {"text": [f"{split} text {n}" for n in range(3)], "label": list("aba")}
        )
        rows.to_csv(tmp_path / "all" / f"{split}.csv", index=False)
    import_data(inquire(str(tmp_path / "all"), None, [], settings), "all", "", settings, store)
    for name in (str(tmp_path / "all"), "all@1"):
        given = read_table(DataConfig(dataset_name=name), versions=Versions(settings.datasets_root))
        found = list(given or ())
        assert [one.row for one in found] == [1, 2, 3, 4, 5, 6]
        answered = {one.question["text"] for one in found if isinstance(one.question, dict)}
        assert answered == {f"{split} text {n}" for split in ("train", "test") for n in range(3)}


def test_a_sheet_that_is_asked_for_is_read(tmp_path: Path) -> None:
    with pandas.ExcelWriter(tmp_path / "a.xlsx") as book:
        ROWS[:1].to_excel(book, sheet_name="one", index=False)
        ROWS[1:].to_excel(book, sheet_name="two", index=False)
    request = DataConfig(dataset_name=str(tmp_path / "a.xlsx"), sheet="two")
    assert list(read_table(request) or ()) == [Asked(1, ROWS.to_dict("records")[1])]


def test_texts_in_other_encodings_are_read_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("這個水壺很好用\n用了兩天就壞掉\n".encode("cp950"))
    found = list(read_table(asked(tmp_path / "a.txt")) or ())
    assert found == [Asked(n, {"text": row}) for n, row in enumerate(ROWS["text"], 1)]
    (tmp_path / "a.txt").write_text("這個水壺很好用\n", "utf-8")
    assert read_table(asked(tmp_path / "a.txt")) is None


def test_an_odd_row_is_the_questions_fault() -> None:
    row = {"prompt": "what is it?", "chosen": [{"role": 5}], "rejected": 7, "history": {"a": 1}}
    for name, layout in LAYOUTS.items():
        for task in layout.tasks:
            kind = TASKS[task]
            for odd in (row, {"data": 5, "messages": 3}, {"input": 5, "conversations": [1]}):
                with contextlib.suppress(DataError):
                    laid_question(odd, kind(kind.Options()), name)


def test_what_can_be_streamed_is(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    ROWS.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    ROWS.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    (tmp_path / "a.txt").write_text("a text a line")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.txt"):
        assert read_table(asked(tmp_path / name)) is None
