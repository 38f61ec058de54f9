"""`tunesmith data`: versions imported, listed, shown, compared, named, restored, exported."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.data.conftest import Run


def test_without_versions_the_list_says_how_to_make_one(ok: Run) -> None:
    assert "tunesmith data import FILE --name NAME" in ok("versions").out
    assert ok("versions", "--json").out == ""


def test_importing_the_same_again_says_so(ok: Run, two_versions: Path) -> None:
    done = ok("import", two_versions.name, "--name", "reviews")
    assert "reviews@2 has this content already" in done.out
    assert "data.dataset_name=reviews@2" in done.out


def test_versions_and_show_tell_what_is_in_them(ok: Run, two_versions: Path) -> None:
    listed = ok("versions", "reviews").out
    assert listed.index("reviews@2") < listed.index("reviews@1")
    shown = ok("show", "reviews@1", "--rows", "2").out
    for part in ("40 (train 36, held_out 4)", "review, verdict", "sha256:", "as it came"):
        assert part in shown
    record = json.loads(ok("show", "reviews@2", "--json").out)
    assert (record["number"], record["parent"], record["rows"]) == (2, 1, 41)
    assert record["label_counts"] == {"bad": 21, "good": 20}


def test_diff_shows_what_changed_with_examples_and_label_shift(ok: Run, two_versions: Path) -> None:
    shown = ok("diff", "reviews@1", "reviews@2").out
    changes = [line.split() for line in shown.splitlines()]
    assert ["1", "added"] in changes
    assert ["1", "relabelled"] in changes
    assert "quite another review of it" in shown
    found = json.loads(ok("diff", "reviews@1", "reviews@2", "--json").out)
    assert (found["added"], found["removed"], found["relabelled"]) == (1, 0, 1)
    (example,) = found["examples"]["relabelled"]
    assert (example["old"]["verdict"], example["new"]["verdict"]) == ("good", "bad")
    assert "the same 40 rows in the same order" in ok("diff", "reviews@1", "reviews@1").out


def test_tags_name_versions_until_they_are_deleted(ok: Run, run: Run, two_versions: Path) -> None:
    assert ok("tag", "reviews@1", "gold").out == "reviews@gold is reviews@1\n"
    assert json.loads(ok("show", "reviews@gold", "--json").out)["tags"] == ["gold"]
    ok("tag", "reviews@2", "gold")
    assert json.loads(ok("show", "reviews@gold", "--json").out)["number"] == 2
    ok("tag", "reviews@gold", "gold", "--delete")
    assert run("show", "reviews@gold").code == 2


def test_a_restored_version_is_current_and_none_is_lost(ok: Run, two_versions: Path) -> None:
    assert ok("restore", "reviews@1").out == "reviews is now reviews@1\n"
    assert json.loads(ok("show", "reviews", "--json").out)["number"] == 1
    assert len(ok("versions", "--json").out.splitlines()) == 2
    ok("restore", "reviews@latest")
    assert json.loads(ok("show", "reviews", "--json").out)["number"] == 2


def test_export_and_import_lead_back_to_the_same_version(
    ok: Run, run: Run, two_versions: Path, tmp_path: Path
) -> None:
    assert ok("export", "reviews@1", "old.jsonl").out == "old.jsonl\n"
    assert len((tmp_path / "old.jsonl").read_text().splitlines()) == 40
    assert "reviews@1 has this content already" in ok(
        "import", "old.jsonl", "--name", "reviews"
    ).out  # fmt: skip
    again = run("export", "reviews@2", "old.jsonl")
    assert again.code == 2
    assert "--force overwrites it" in again.err
    ok("export", "reviews@2", "old.jsonl", "--force")
    assert len((tmp_path / "old.jsonl").read_text().splitlines()) == 41
    said = ok("export", "reviews@2", "held-out.csv", "--split", "held_out").err
    assert "with a byte-order mark, so that Excel reads it as UTF-8" in said
    assert (tmp_path / "held-out.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    said = ok("export", "reviews@2", "b.csv", "--split", "held_out", "--no-bom").err
    assert ("mark" in said, (tmp_path / "b.csv").read_bytes()[:1]) == (False, b"r")
    assert len((tmp_path / "held-out.csv").read_text().splitlines()) == 5


def test_fresh_rows_to_judge_by_are_drawn_and_never_those_that_have_judged(
    ok: Run, run: Run, two_versions: Path
) -> None:
    said = ok("refresh-test", "reviews@2", "data.test_draw=1").out
    assert "data.test_draw: 1 holds out 4 rows that have judged no experiment here" in said
    assert "those of now have judged 0" in said
    refused = run("refresh-test", "reviews@2", "data.test_draw=40")
    assert refused.code == 2
    assert "data.test_draw" in refused.err
    assert "all rows have judged before" in refused.err
