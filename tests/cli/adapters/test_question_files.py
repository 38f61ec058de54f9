"""Files of questions that must be read as a whole, as the data were."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from tunesmith.serving.streams import Asked, read_table

ROWS = pandas.DataFrame({"text": ["這個水壺很好用", "用了兩天就壞掉"], "note": ["a", "b"]})


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(";", "utf-8"), (",", "cp950"), ("\t", "utf-16")]
)
def test_tables_are_asked_as_they_are_checked(
    tmp_path: Path, name: str, delimiter: str, encoding: str
) -> None:
    ROWS.to_csv(tmp_path / name, index=False, sep=delimiter, encoding=encoding)
    found = read_table(str(tmp_path / name))
    assert found is not None
    assert list(found) == [Asked(n, row) for n, row in enumerate(ROWS.to_dict("records"), 1)]


def test_rows_that_can_t_be_read_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;note\na;1\nb\nc;2\nd;3;4\ne;5\nf\n")
    asked = list(read_table(str(tmp_path / "a.csv")) or ())
    assert [one.row for one in asked] == [1, 2, 3, 4, 5, 6]
    assert [bool(one.fault) for one in asked] == [False, True, False, True, False, True]


def test_what_can_be_streamed_is(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    ROWS.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    ROWS.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    (tmp_path / "a.txt").write_text("a text a line")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.txt"):
        assert read_table(str(tmp_path / name)) is None
