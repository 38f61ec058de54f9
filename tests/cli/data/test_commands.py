"""`tunesmith data` as people use it: what it prints and writes, how it ends, what it refuses."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.cli.data.conftest import Run
from tests.conftest import write_reviews


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """40 good reviews, then an empty one, one with HTML and one that repeats the first."""
    path = write_reviews(tmp_path / "reviews.csv", 40)
    first = path.read_text().splitlines()[1]
    with path.open("a") as stream:
        stream.write(f",bad\n<b>a fine film</b> that was,good\n{first}\n")
    return path


# -- check ------------------------------------------------------------------------------------


def test_check_reports_each_rule_and_saves_report_and_rejected_rows(
    ok: Run, faulty: Path, tmp_path: Path
) -> None:
    done = ok("check", "reviews.csv")
    assert "42 of 43 rows can be used, 1 can't" in done.out
    for rule, words in (
        ("empty_texts", ["dropped", "1", "41"]),
        ("html", ["mended", "1", "42"]),
        ("duplicates", ["kept", "1", "43"]),
    ):
        (line,) = [line.split() for line in done.out.splitlines() if line.startswith(rule)]
        assert line[1:4] == words
    folder = tmp_path / "results" / "data_reports" / "reviews"
    report = json.loads((folder / "check.json").read_text())
    assert report["source"] == str(faulty)
    assert report["hash"].startswith("sha256:")
    assert (report["task"], report["columns"]) == (
        "text-classification", {"text": "review", "label": "verdict"},
    )  # fmt: skip
    assert [(f["row"], f["rule"]) for f in report["findings"]] == [
        (41, "empty_texts"), (42, "html"), (43, "duplicates"),
    ]  # fmt: skip
    with (folder / "rejected.csv").open(newline="") as stream:
        (rejected,) = csv.DictReader(stream)
    assert rejected["verdict"] == "bad"
    assert (rejected["_row"], rejected["_rule"]) == ("41", "empty_texts")


def test_check_as_json_is_the_promised_report_alone_on_stdout(ok: Run, faulty: Path) -> None:
    done = ok("check", "reviews.csv", "--json")
    report = json.loads(done.out)
    assert report["total_samples"] == 42
    assert report["label_counts"] == {"bad": 20, "good": 22}
    assert (report["imbalance_ratio"], report["is_balanced"]) == (1.1, True)
    assert report["counts"] == {"duplicates": 1, "empty_texts": 1, "html": 1}
    assert "rows can be used" in done.err


def test_check_writes_where_it_is_told(ok: Run, faulty: Path, tmp_path: Path) -> None:
    ok("check", "reviews.csv", "--output", "mine/report.json", "--rejected", "mine/bad.parquet")
    saved = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert saved["total_samples"] == 42
    assert (tmp_path / "mine" / "bad.parquet").read_bytes()[:4] == b"PAR1"
    assert not (tmp_path / "results" / "data_reports").exists()


def test_check_of_good_data_says_so_and_writes_no_rejected_rows(ok: Run, tmp_path: Path) -> None:
    write_reviews(tmp_path / "good.csv", 40)
    done = ok("check", "good.csv", "data.validation_rules.near_duplicates=ignore")
    assert "No rule was broken." in done.out
    assert "rejected" not in done.out
    assert not list(tmp_path.rglob("rejected*"))


def test_a_rule_that_fails_ends_check_with_2_after_the_report_is_written(
    run: Run, faulty: Path, tmp_path: Path
) -> None:
    done = run("check", "reviews.csv", "data.validation_rules.html=fail")
    assert done.code == 2
    assert "1 row breaks html in column review" in done.err
    assert "refused" in done.out
    folder = tmp_path / "results" / "data_reports" / "reviews"
    assert json.loads((folder / "check.json").read_text())["counts"]["html"] == 1
    assert "html" in (folder / "rejected.csv").read_text()


def test_the_configuration_brings_rules_columns_and_tokenizer(
    ok: Run, faulty: Path, tmp_path: Path, classification: dict[str, Any]
) -> None:
    data = {"dataset_name": "reviews.csv", "max_length": 8,
            "validation_rules": {"html": "ignore"}}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(json.dumps({**classification, "data": data}))
    done = ok("check", "-c", "mine.yaml", "--json")
    counts = json.loads(done.out)["counts"]
    assert counts["cut_texts"] > 0
    assert "html" not in counts
    other = write_reviews(tmp_path / "other.csv", 30)
    ok("check", other.name, "-c", "mine.yaml")
    assert (tmp_path / "results" / "data_reports" / "other" / "check.json").exists()


def test_analyze_shows_and_saves_the_analysis_as_json_and_as_a_page(
    ok: Run, faulty: Path, tmp_path: Path
) -> None:
    assert "43 rows, 2 labels" in ok("analyze", "reviews.csv").out
    folder = tmp_path / "results" / "data_reports" / "reviews"
    saved = json.loads((folder / "analysis.json").read_text())
    assert saved["label_counts"] == {"bad": 21, "good": 22}
    page = (folder / "analysis.html").read_text()
    assert "<html" in page
    assert saved["hash"] in page
    ok("analyze", "reviews.csv", "--output", "a.json", "--html", "a.html")
    assert json.loads((tmp_path / "a.json").read_text()) == saved
    printed = json.loads(ok("analyze", "reviews.csv", "--json").out.rpartition("}")[0] + "}")
    assert printed["total_samples"] == 43
    assert {"label_counts", "imbalance_ratio", "is_balanced"} <= set(printed)


def test_the_output_of_json_flags_is_json_and_nothing_else(
    ok: Run, two_versions: Path, tmp_path: Path
) -> None:
    for arguments in (
        ["check", "reviews.csv", "--json"],
        ["analyze", "reviews.csv", "--json"],
        ["show", "reviews", "--json"],
        ["diff", "reviews@1", "reviews@2", "--json"],
    ):
        json.loads(ok(*arguments).out)
    lines = ok("versions", "--json").out.splitlines()
    assert [json.loads(line)["reference"] for line in lines] == ["reviews@2", "reviews@1"]


# -- what is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "revews.csv"], "did you mean reviews.csv?"),
        (["check", "reviews.csv", "task.text_column=reviw"], "did you mean review?"),
        (["analyze", "reviews.csv", "task.label_column=verdct"], "did you mean verdict?"),
        (["check", "reviews.csv", "other.csv"], "SOURCE: only one at a time"),
        (["check", "reviews.csv", "data.train_split=tran"], "did you mean train?"),
        (["check", "reviews.csv", "data.validation_rules.htlm=fix"], "did you mean html?"),
        (["check", "reviews.csv", "data.validation_rules.html=fxi"], "html"),
        (["check", "reviews.csv", "task=text-clasification"], "text-classification"),
        (["check", "reviews.csv", "task.labels=[god, bad]"], "did you mean god?"),
        (["check", "faulty.csv", "--rejected", "bad.xlsx"], "bad.xlsx: files of this ending"),
        (["check", "-c", "mien.yaml"], "mien.yaml"),
        (["check"], "config/default.yaml"),
        (["import", "reviews.csv"], "--name"),
        (["import", "reviews.csv", "--name", "../reviews"], "a dataset can't be called"),
        (["import", "reviews.csv", "--name", ""], "a dataset can't be called ''"),
        (["import", "reviews.csv", "--name", "reviews.csv"], "leave the ending .csv away"),
        (["versions", "reviws"], "there is no dataset 'reviws'"),
        (["show", "reviws"], "did you mean reviews?"),
        (["show", "reviews@7"], "there is reviews@1 to reviews@2"),
        (["diff", "reviews@1", "reviews@9"], "there is no version reviews@9"),
        (["diff", "reviews@1"], "NAME@NEW"),
        (["tag", "reviews@1", "latest"], "a meaning of its own"),
        (["tag", "reviews@1", "../x"], "a tag can't be called"),
        (["tag", "reviews@1", "nosuch", "--delete"], "has no tag 'nosuch'"),
        (["restore", "reviews@3"], "there is no version reviews@3"),
        (["export", "reviews@1", "out.xlsx"], "out.xlsx: files of this ending"),
        (["export", "reviews@1", "x.csv", "--split", "tran"], "did you mean train?"),
        (["versoins"], "versions"),
    ],
)
def test_a_mistake_is_one_clear_paragraph_and_exit_code_2(
    arguments: list[str], message: str, run: Run, two_versions: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.csv").write_text("text,label\na,b\n")
    (tmp_path / "faulty.csv").write_text("text,label\na text,b\n,b\nb text,c\n")
    before = run("versions", "--json").out
    done = run(*arguments)
    assert done.code == 2, done.out
    assert message in done.err
    assert "Traceback" not in done.out + done.err
    assert run("versions", "--json").out == before
    assert not (tmp_path / "out.xlsx").exists()


def test_a_command_in_a_process_of_its_own_ends_in_the_same_way(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "tunesmith")
    done = subprocess.run(
        [program, "data", "show", "nosuch"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no dataset 'nosuch'")


@pytest.fixture
def wide_rows(ok: Run, tmp_path: Path) -> None:
    """Two versions of reviews with long texts in two scripts, and many faults."""
    rng = random.Random(2)
    words = ["extraordinarily", "film", "電影", "非常好看的", "of", "brothers", "農場"]
    rows = [
        {"review": " ".join(rng.choices(words, k=60)), "verdict": ("good", "bad")[n % 2]}
        for n in range(40)
    ]
    rows += [{"review": "<b>bold</b>" * 30, "verdict": "good"}, {"review": "", "verdict": "bad"}]
    for version in (rows, [*rows[1:], {"review": "new " * 80, "verdict": "a long label " * 20}]):
        (tmp_path / "wide.jsonl").write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in version)
        )
        ok("import", "wide.jsonl", "--name", "wide")


@pytest.mark.usefixtures("wide_rows")
@pytest.mark.parametrize("columns", [80, 120])
def test_tables_keep_their_columns_and_fit_the_terminal(columns: int, ok: Run) -> None:
    checked = ok("check", "wide.jsonl", columns=columns).out
    headings = [line.split() for line in checked.splitlines() if line.startswith("rule ")]
    assert headings == ([["rule", "done", "rows", "first", "example"]] if columns == 120 else [])
    assert ["empty_texts", "dropped", "1", "41"] in [
        line.split()[:4] for line in checked.splitlines()
    ]  # fmt: skip
    listed = ok("versions", columns=columns).out
    assert ["wide@2", "42"] in [line.split()[:2] for line in listed.splitlines()]
    shown = ok("show", "wide@2", columns=columns).out
    compared = ok("diff", "wide@1", "wide@2", columns=columns).out
    for out in (checked, listed, shown, compared):
        # Lines with a path, a hash or a sentence are left to the terminal, to be copied whole.
        table = [line for line in out.splitlines() if "  " in line.strip()]
        free = (
            "  from",
            "  labels",
            "labels",
            "report",
            "rejected",
            "train on",
            "  hash",
            "  rules",
        )
        too_long = [
            line for line in table
            if cell_len(line.rstrip()) > columns and not line.startswith(free)
        ]  # fmt: skip
        assert too_long == []


def test_texts_of_the_data_can_t_steer_the_terminal(ok: Run, tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;gone\x07 [bold]x[/bold] \u202eturned"
    for number in range(2):
        rows = [{"text": f"{evil} {n} {number}", "label": f"\x1b[31mred{n % 2}"} for n in range(20)]
        (tmp_path / "evil.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        ok("import", "evil.jsonl", "--name", "evil", "--description", evil)
    for arguments in (
        ["check", "evil.jsonl"], ["analyze", "evil.jsonl"], ["show", "evil"], ["versions"],
        ["diff", "evil@1", "evil@2"],
    ):  # fmt: skip
        out = ok(*arguments, columns=200).out
        assert not {"\x1b", "\x07", "\u202e"} & set(out), arguments
    assert "[bold]x[/bold]" in ok("show", "evil", columns=200).out


def test_chats_are_shown_as_their_turns_and_not_as_python_writes_them(
    ok: Run, tmp_path: Path
) -> None:
    chats = [
        [
            {"role": "user", "content": f"Is <b>number {n}</b> good?"},
            {"role": "assistant", "content": "good" if n % 2 else "bad"},
        ]
        for n in range(40)
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    checked = ok("check", str(file))
    imported = ok("import", str(file), "--name", "chats")
    shown = ok("show", "chats", "--rows", "2")
    file.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats[1:]))
    ok("import", str(file), "--name", "chats")
    differs = ok("diff", "chats@1", "chats@2")
    for done in (checked, imported, shown, differs):
        assert "{'" not in done.out
    assert "user: Is <b>number 0</b> good?" in checked.out
    assert "user: Is <b>number 0</b> good? | assistant: bad" in shown.out


def test_reports_of_files_in_any_script_lie_side_by_side(ok: Run, tmp_path: Path) -> None:
    other = tmp_path / "二月"
    other.mkdir()
    for path in ("訂單.csv", "評論.csv", "二月/評論.csv"):
        write_reviews(tmp_path / path, 30)
        ok("check", path)
        ok("check", path)
    folders = sorted((tmp_path / "results" / "data_reports").iterdir())
    sources = [json.loads((each / "check.json").read_text())["source"] for each in folders]
    assert sorted(sources) == sorted(
        str(tmp_path / path) for path in ("訂單.csv", "評論.csv", "二月/評論.csv")
    )
    assert {"訂單", "評論"} < {each.name for each in folders}


def test_check_and_import_say_how_a_file_was_read(ok: Run, tmp_path: Path) -> None:
    rows = "".join(f"這是第{n}次購買很滿意;{n % 2}\n" for n in range(20))
    (tmp_path / "a.csv").write_bytes(("text;label\n" + rows).encode("cp950"))
    said = ok("check", "a.csv", columns=80).out
    assert "read as CSV (delimiter ;, encoding cp950)" in said
    assert "it is not UTF-8 but cp950, and reads: 這是第" in said
    assert "reading  read as CSV (delimiter ;, encoding cp950)" in ok(
        "import", "a.csv", "--name", "a"
    ).out  # fmt: skip
    shown = json.loads(ok("show", "a", "--json").out)
    assert shown["report"]["reading"][0] == "read as CSV (delimiter ;, encoding cp950)"
