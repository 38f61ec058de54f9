"""Data with one fault of each kind: the report names each row that has one, and no other."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.checking.rejected import rejected_rows
from tunesmith.data.checking.report import CheckReport
from tunesmith.errors import DataError
from tunesmith.experiments.datasets.importing import Inquiry, check_data, import_data, inquire
from tunesmith.settings import Settings
from tunesmith.store.store import Store

GOOD_ROWS = 300
EVERY = 12
"""A planted row stands after so many good ones."""

Found = set[tuple[int, str]]
"""Row or line, and the rule that it broke."""


class Writer:
    """Random texts of 14 made-up words, so many words that no two texts are nearly alike."""

    def __init__(self) -> None:
        self.rng = random.Random(11)
        syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
        self.words = sorted({"".join(self.rng.sample(syllables, 3)) for _ in range(3_000)})

    def text(self, words: int = 14) -> str:
        return " ".join(self.rng.sample(self.words, words))


def with_faults(good: list[Any], faults: list[Any]) -> tuple[list[Any], list[int]]:
    """The good rows with a fault after every few of them, and the faults' numbers, from 1."""
    rows: list[Any] = []
    places: list[int] = []
    for number, row in enumerate(good, 1):
        rows.append(row)
        if number % EVERY == 0 and len(places) < len(faults):
            rows.append(faults[len(places)])
            places.append(len(rows))
    assert len(places) == len(faults)
    return rows, places


def found(report: CheckReport) -> Found:
    return {(finding.row or 0, finding.rule) for finding in report.findings}


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tunesmith data check` in a process of its own."""
    program = Path(sys.executable).parent / "tunesmith"
    return subprocess.run(
        [str(program), "data", "check", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# -- a table of reviews -----------------------------------------------------------------------

RULES = [
    "task.labels=[fresh, rotten, plot]",
    "data.validation_rules.min_text_length=12",
    "data.validation_rules.max_text_length=300",
]
DROPPING = [*RULES, "data.validation_rules.unknown_labels=drop"]


def reviews(folder: Path) -> tuple[Path, Found, Found, dict[str, int]]:
    """A CSV with a fault of each kind.

    Its path, what its report must say, what of that is left out, and each fault's row.
    """
    writer = Writer()
    good = [(writer.text(), ("fresh", "rotten")[n % 2]) for n in range(GOOD_ROWS)]
    like = " ".join([*good[6][0].split()[:-1], "otherwise"])
    faults: dict[str, tuple[tuple[str, ...], str, bool]] = {
        "no text": (("", "fresh"), "empty_texts", True),
        "blank text": (("   ", "fresh"), "empty_texts", True),
        "short": (("too short", "fresh"), "short_texts", True),
        "long": ((writer.text(60), "fresh"), "long_texts", True),
        "html": ((f"<b>{writer.text()}</b> &amp; <br/>more", "fresh"), "html", False),
        "mojibake": ((f"the cafÃ© of {writer.text()}", "fresh"), "broken_encoding", False),
        "lost": ((f"the caf� of {writer.text()}", "fresh"), "broken_encoding", False),
        "zero width": ((f"un\u200bseen {writer.text()}", "fresh"), "control_characters", False),
        "no label": ((writer.text(), ""), "missing_labels", True),
        "unknown label": ((writer.text(), "roten"), "unknown_labels", True),
        "rare label": ((writer.text(), "plot"), "rare_labels", False),
        "again": (good[4], "duplicates", False),
        "nearly": ((like, good[6][1]), "near_duplicates", False),
        "contradicting": ((good[8][0], "rotten"), "conflicting_labels", False),
        "key": ((f"AKIAIOSFODNN7EXAMPLE {writer.text()}", "fresh"), "secrets", False),
        "address": ((f"{writer.text()} jane.doe@example.com", "fresh"), "personal_data", False),
        "phone": ((f"call +886 912 345 678 {writer.text()}", "fresh"), "personal_data", False),
        "ragged": ((writer.text(), "fresh", "more"), "unreadable_rows", True),
    }
    rows, places = with_faults(good, [row for row, _, _ in faults.values()])
    path = folder / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    row_of = dict(zip(faults, places, strict=True))
    line_of = {**row_of, "ragged": row_of["ragged"] + 1}  # a line is counted from the header
    broken = {(line_of[name], rule) for name, (_, rule, _) in faults.items()}
    broken.add((rows.index(good[8]) + 1, "conflicting_labels"))  # the row that it contradicts
    broken.add((0, "label_imbalance"))  # hundreds of rows beside the single rare one
    left_out = {(line_of[name], rule) for name, (_, rule, gone) in faults.items() if gone}
    return path, broken, left_out, row_of


def test_each_planted_row_of_a_csv_is_named_with_its_rule_and_no_other(
    tmp_path: Path, settings: Settings
) -> None:
    path, broken, left_out, row_of = reviews(tmp_path)
    asked = inquire(str(path), None, DROPPING, settings)
    checked = check_data(asked).checked
    assert found(checked.report) == broken
    assert checked.report.table.height == len(broken)
    assert checked.report.rows_in == GOOD_ROWS + len(row_of)
    assert checked.report.rows_out == checked.report.rows_in - len(left_out)
    rejected = rejected_rows(asked.source.tables, checked.report).to_pylist()
    assert {(row["_row"], row["_rule"]) for row in rejected} == left_out
    assert len(rejected) == len(left_out)


def test_each_finding_says_what_would_help(tmp_path: Path, settings: Settings) -> None:
    path, _, _, row_of = reviews(tmp_path)
    report = check_data(inquire(str(path), None, DROPPING, settings)).checked.report
    told = {(finding.row, finding.rule): finding for finding in report.findings}
    unknown = told[row_of["unknown label"], "unknown_labels"]
    assert (unknown.column, unknown.value) == ("label", "'roten'")
    assert "use one of fresh, rotten, plot" in unknown.advice
    assert unknown.advice.endswith("did you mean rotten?")
    short = told[row_of["short"], "short_texts"]
    assert (short.column, short.value) == ("text", "'too short'")
    assert short.advice == "9 characters, at least 12 are wanted"
    assert "the same text and label as row 5" in told[row_of["again"], "duplicates"].advice
    assert "are those of row 7" in told[row_of["nearly"], "near_duplicates"].advice
    assert "'fresh' and 'rotten'" in told[row_of["contradicting"], "conflicting_labels"].advice
    assert "1 row of this label in all" in told[row_of["rare label"], "rare_labels"].advice
    line = row_of["ragged"] + 1
    ragged = told[line, "unreadable_rows"]
    assert ragged.advice == f"line {line}: has 3 values, the header 2 columns"
    secret = told[row_of["key"], "secrets"]
    assert "AKIAIOSFODNN7EXAMPLE" not in json.dumps(report.to_json())
    assert secret.value.startswith("AWS Access Key")


def test_the_command_writes_the_same_and_the_rejected_rows_to_mend(tmp_path: Path) -> None:
    path, broken, left_out, row_of = reviews(tmp_path)
    done = command(
        tmp_path, path.name, *DROPPING, "--output", "report.json", "--rejected", "out/mend.csv"
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "report.json").read_text())
    assert {(finding["row"] or 0, finding["rule"]) for finding in written["findings"]} == broken
    assert len(written["findings"]) == len(broken)
    assert sum(written["counts"].values()) == len(broken)
    assert set(written["counts"]) == {rule for _, rule in broken} == set(written["rules"])
    with (tmp_path / "out" / "mend.csv").open(newline="", encoding="utf-8") as stream:
        rejected = list(csv.DictReader(stream))
    assert {(int(row["_row"]), row["_rule"]) for row in rejected} == left_out
    assert all(row["_reason"] for row in rejected)
    by_row = {int(row["_row"]): row for row in rejected}
    assert by_row[row_of["unknown label"]]["label"] == "roten"
    assert by_row[row_of["ragged"] + 1]["_unreadable"].endswith(",fresh,more")


def test_an_unknown_label_alone_refuses_the_data_with_its_row(
    tmp_path: Path, settings: Settings, store: Store
) -> None:
    path, _, _, row_of = reviews(tmp_path)
    asked = inquire(str(path), None, RULES, settings)
    message = rf"1 row breaks unknown_labels .*'roten' \(1\) \(row {row_of['unknown label']}\)"
    with pytest.raises(DataError, match=message):
        check_data(asked).checked.report.raise_failures()
    with pytest.raises(DataError, match=message):
        import_data(asked, "reviews", "", settings, store)


# -- chats ------------------------------------------------------------------------------------


def turns(*said: tuple[str, Any]) -> list[Mapping[str, Any]]:
    return [{"role": role, "content": content} for role, content in said]


def chats() -> tuple[list[Any], dict[str, int], Found, Found]:
    """Chats with a fault of each kind, each fault's row, what a report must say, what is left out.

    A `bytes` among the chats stands for a line that is no JSON.
    """
    writer = Writer()
    text = writer.text

    def chat(asked: Any = None, answer: Any = None) -> list[Mapping[str, Any]]:
        return turns(("user", asked or text()), ("assistant", answer or text()))

    good = [chat() for _ in range(GOOD_ROWS)]
    alike = " ".join([*good[6][0]["content"].split()[:-1], "otherwise"])
    faults: dict[str, tuple[Any, str, bool]] = {
        "wrong role": (turns(("user", text()), ("boss", text())), "wrong_roles", True),
        "twice": (
            turns(("user", text()), ("user", text()), ("assistant", text())), "wrong_order", False
        ),
        "late system": (
            turns(("user", text()), ("system", text()), ("assistant", text())),
            "wrong_order", False,
        ),
        "no answer": (turns(("user", text())), "missing_answers", True),
        "empty answer": (turns(("user", text()), ("assistant", " ")), "missing_answers", True),
        "no turns": ([], "missing_answers", True),
        "empty turn": (turns(("user", ""), ("assistant", text())), "empty_turns", True),
        "no string": (turns(("user", text()), ("assistant", None)), "non_text_turns", True),
        "html": (chat(f"<p>{text()}</p>"), "html", False),
        "mojibake": (chat(None, f"the cafÃ© of {text()}"), "broken_encoding", False),
        "unseen": (chat(f"un\u200bseen {text()}"), "control_characters", False),
        "short": (chat("hm"), "short_texts", True),
        "again": (good[4], "duplicates", False),
        "nearly": (chat(alike, good[6][1]["content"]), "near_duplicates", False),
        "key": (chat(None, f"AKIAIOSFODNN7EXAMPLE {text()}"), "secrets", False),
        "address": (chat(None, f"{text()} jane.doe@example.com"), "personal_data", False),
        "phone": (chat(f"call +886 912 345 678 {text()}"), "personal_data", False),
        "broken line": (b'{"messages": [{"role": "user"', "unreadable_rows", True),
    }  # fmt: skip
    rows, places = with_faults(good, [row for row, _, _ in faults.values()])
    row_of = dict(zip(faults, places, strict=True))
    broken = {(row_of[name], rule) for name, (_, rule, _) in faults.items()}
    left_out = {(row_of[name], rule) for name, (_, rule, gone) in faults.items() if gone}
    return rows, row_of, broken, left_out


def chat_lines(path: Path, rows: list[Any]) -> Path:
    lines = [
        row.decode() if isinstance(row, bytes) else json.dumps({"messages": row}) for row in rows
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


CHAT_RULES = ["data.validation_rules.min_text_length=5"]


def test_each_planted_chat_is_named_with_its_rule_and_no_other(
    tmp_path: Path, settings: Settings
) -> None:
    rows, row_of, broken, left_out = chats()
    path = chat_lines(tmp_path / "chats.jsonl", rows)
    asked = inquire(str(path), None, CHAT_RULES, settings)
    assert asked.task.name == "sft"
    report = check_data(asked).checked.report
    assert found(report) == broken
    assert report.table.height == len(broken)
    assert report.rows_in - report.rows_out == len(left_out)
    told = {(finding.row, finding.rule): finding.advice for finding in report.findings}
    assert "'boss' is no role" in told[row_of["wrong role"], "wrong_roles"]
    assert "turn 2 needs a text" in told[row_of["no string"], "non_text_turns"]


def test_the_commands_files_name_each_planted_chat(tmp_path: Path) -> None:
    rows, row_of, broken, left_out = chats()
    path = chat_lines(tmp_path / "chats.jsonl", rows)
    done = command(
        tmp_path, path.name, *CHAT_RULES, "--output", "report.json", "--rejected", "mend.jsonl"
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "report.json").read_text())
    assert {(finding["row"], finding["rule"]) for finding in written["findings"]} == broken
    rejected = [json.loads(line) for line in (tmp_path / "mend.jsonl").read_text().splitlines()]
    assert {(row["_row"], row["_rule"]) for row in rejected} == left_out
    by_row = {row["_row"]: row for row in rejected}
    assert by_row[row_of["wrong role"]]["messages"] == rows[row_of["wrong role"] - 1]
    assert by_row[row_of["broken line"]]["_unreadable"] == rows[row_of["broken line"] - 1].decode()


def test_chats_kept_as_json_text_in_a_csv_are_judged_alike(
    tmp_path: Path, settings: Settings
) -> None:
    rows, row_of, broken, _ = chats()
    chats_only = [[] if isinstance(row, bytes) else row for row in rows]
    chats_only[row_of["no string"] - 1] = turns(("user", "what is it?"), ("assistant", 42))
    path = tmp_path / "chats.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["messages"], *([json.dumps(row)] for row in chats_only)])
    report = check_data(inquire(str(path), None, CHAT_RULES, settings)).checked.report
    line = row_of["broken line"]
    changed = {(line, "unreadable_rows")}
    assert found(report) == broken - changed | {(line, "missing_answers")}


# -- a folder with splits ---------------------------------------------------------------------


def as_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])


def as_parquet(path: Path, rows: list[tuple[str, str]]) -> None:
    import polars as pl

    pl.DataFrame(rows, schema=["text", "label"], orient="row").write_parquet(path)


@pytest.mark.parametrize(("ending", "write"), [("csv", as_csv), ("parquet", as_parquet)])
def test_training_rows_with_equally_or_nearly_a_held_out_rows_text_are_named(
    ending: str,
    write: Callable[[Path, list[tuple[str, str]]], None],
    tmp_path: Path,
    settings: Settings,
) -> None:
    writer = Writer()
    train = [(writer.text(), ("fresh", "rotten")[n % 2]) for n in range(GOOD_ROWS)]
    judged = [(writer.text(), ("fresh", "rotten")[n % 2]) for n in range(60)]
    judged[10] = train[20]
    judged[30] = (train[40][0].upper(), train[40][1])
    judged[50] = (" ".join([*train[60][0].split()[:-1], "otherwise"]), train[60][1])
    write(tmp_path / f"train.{ending}", train)
    write(tmp_path / f"validation.{ending}", judged)
    asked = inquire(str(tmp_path), None, [], settings)
    checked = check_data(asked).checked
    assert leaks(checked.report) == {
        ("train", 21, "leakage", "drop"),
        ("train", 41, "leakage", "drop"),
        ("train", 61, "near_leakage", "warn"),
    }
    assert checked.tables["train"].num_rows == GOOD_ROWS - 2
    assert checked.tables["validation"].num_rows == 60
    assert rejected_places(asked, checked.report) == {("train", 21), ("train", 41)}


def leaks(report: CheckReport) -> set[tuple[str, int | None, str, str]]:
    return {(f.split, f.row, f.rule, f.action) for f in report.findings}


def rejected_places(asked: Inquiry, report: CheckReport) -> set[tuple[str, int]]:
    table = rejected_rows(asked.source.tables, report)
    return {(row["_split"], row["_row"]) for row in table.to_pylist()}
