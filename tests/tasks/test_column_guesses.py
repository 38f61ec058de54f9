"""Columns known by what they hold, and by names: Chinese ones, the exact one before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tunesmith.errors import ConfigError
from tunesmith.tasks import TASKS
from tunesmith.tasks.parts.columns import guessed

TEXTS = [
    "The lamp flickers every night", "My order never arrived here", "I was charged twice for it",
    "I can't log in to the app", "Where is my parcel now?", "Please cancel the plan today",
]  # fmt: skip
CHINESE = ["我的訂單還沒有到", "燈壞了請幫我修理", "刷卡重複扣款了", "一直登入不了系統",
           "請問包裹在哪裡", "我想取消這個方案"]  # fmt: skip
TEAMS = ["a", "b"] * 3
IDS = [f"T-10{n}" for n in range(6)]
DAYS = [f"2024-01-0{n} 10:00" for n in range(1, 7)]


def find(
    columns: Mapping[str, Sequence[Any]], task: str = "text-classification", **options: Any
) -> tuple[dict[str, str], list[str]]:
    """The columns chosen, and what is said of those that were guessed."""
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    kind = TASKS[task]
    bound = kind(kind.Options.model_validate(options))
    found = bound.find_columns(["_row", *columns], rows)
    return dict(found), list(map(str, guessed(bound.options, bound.column_names, found)))


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"message": TEXTS, "team": TEAMS}, "message", "team"),
        ({"ticket": TEXTS, "squad": TEAMS}, "ticket", "squad"),
        ({"squad": TEAMS, "at": DAYS, "no": IDS, "ticket": TEXTS}, "ticket", "squad"),
        ({"id": range(6), "case": IDS, "said": CHINESE, "dept": TEAMS}, "said", "dept"),
        ({"編號": range(6), "內容": CHINESE, "標籤": TEAMS}, "內容", "標籤"),
        ({"id": range(6), "评论": CHINESE, "情感": TEAMS}, "评论", "情感"),
        ({"Text": TEAMS, "text": TEXTS, "Label": TEAMS, "label": TEAMS}, "text", "label"),
        ({" Text ": TEXTS, "\ufeffLabel": TEAMS}, " Text ", "\ufeffLabel"),
        ({"score": [0, 1] * 3, "Comment Text": TEXTS}, "Comment Text", "score"),
    ],
)
def test_text_and_label_are_found(columns: dict[str, Any], text: str, label: str) -> None:
    assert find(columns)[0] == {"text": text, "label": label}


def test_what_was_guessed_is_said_and_what_has_its_usual_name_is_not() -> None:
    assert find({"message": TEXTS, "squad": TEAMS})[1] == [
        "column 'squad' is taken as the label, by what it holds; another one is named in "
        "task.label_column"
    ]
    assert find({"message": TEXTS, "squad": TEAMS}, label_column="squad")[1] == []


@pytest.mark.parametrize(
    ("columns", "role"),
    [
        ({"case": IDS, "squad": TEAMS}, "text"),
        ({"created": DAYS, "squad": TEAMS}, "text"),
        ({"one": TEXTS, "two": TEXTS, "squad": TEAMS}, "text"),
        ({"ticket": TEXTS, "squad": TEAMS, "priority": TEAMS}, "label"),
        ({"ticket": TEXTS, "created_at": DAYS, "id": range(6)}, "label"),
    ],
)
def test_what_is_not_plain_is_asked_for(columns: dict[str, Any], role: str) -> None:
    with pytest.raises(ConfigError, match=f"no column is plainly the {role}: name it"):
        find(columns)


def test_numbers_are_text_where_they_are_asked_for() -> None:
    found, _ = find({"code": range(6), "squad": TEAMS}, text_column="code")
    assert found == {"text": "code", "label": "squad"}


def test_other_tasks_know_chinese_names_and_numbers() -> None:
    assert find({"問題": CHINESE, "回答": CHINESE}, "sft")[0] == {
        "prompt": "問題", "completion": "回答"
    }  # fmt: skip
    assert find({"指令": CHINESE, "輸出": CHINESE}, "sft")[0]["completion"] == "輸出"
    points = [1.5, 2, 3, 4.5, 5, 1]
    assert find({"essay": TEXTS, "pts": points}, "regression")[0] == {
        "text": "essay", "target": "pts"
    }  # fmt: skip
