"""What changed between two versions: every row accounted for once, whatever happened to it."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from tunesmith.data.versions.diff import CHANGES, LabelShift, RowChange, VersionDiff, diff
from tunesmith.data.versions.row_changes import MAX_PAIRS

Rows = list[tuple[str, Any]]

REVIEWS: Rows = [
    ("A wonderful film from the first minute to the last.", 1),
    ("I left the cinema after half an hour.", 0),
    ("The music alone is worth the ticket.", 1),
    ("Nobody in this story behaves like a human being.", 0),
    ("Three hours that feel like twenty minutes.", 1),
    ("The sequel nobody had asked for.", 0),
]


def table(rows: Rows, first: int = 1) -> pa.Table:
    texts, labels = zip(*rows, strict=True) if rows else ((), ())
    numbers = pa.array(range(first, first + len(rows)), pa.int64())
    return pa.table({"text": pa.array(texts, pa.string()), "label": labels, "_row": numbers})


def changes(old: Rows | dict[str, Rows], new: Rows | dict[str, Rows]) -> VersionDiff:
    """The difference of two versions; rows alone are the split `train`."""
    before, after = (
        {split: table(rows) for split, rows in splits.items()}
        for splits in (side if isinstance(side, dict) else {"train": side} for side in (old, new))
    )
    return diff(before, after, text_columns=["text"], label_column="label")


def counts(found: VersionDiff) -> dict[str, int]:
    """What isn't 0; checks that every row is accounted for."""
    every = {kind: getattr(found, kind) for kind in ("unchanged", *CHANGES)}
    both = sum(every.values()) - found.added - found.removed
    assert found.old_rows == both + found.removed
    assert found.new_rows == both + found.added
    assert {kind: len(rows) for kind, rows in found.examples.items()} == {
        kind: min(5, getattr(found, kind)) for kind in CHANGES
    }
    return {kind: count for kind, count in every.items() if count}


def test_a_version_is_equal_to_itself() -> None:
    found = changes(REVIEWS, REVIEWS)
    assert counts(found) == {"unchanged": 6}
    assert found.is_empty
    assert not found.reordered


def test_each_kind_of_change_is_told_apart() -> None:
    new = list(REVIEWS)
    new[1] = (new[1][0], 1)
    new[3] = ("Nobody in this strange story behaves like a human.", 0)
    del new[4]
    new.append(("Something entirely new: popcorn review!", 1))
    found = changes(REVIEWS, new)
    assert counts(found) == {
        "unchanged": 3,
        "added": 1,
        "removed": 1,
        "relabelled": 1,
        "edited": 1,
    }
    assert not found.reordered
    assert found.examples["relabelled"] == (
        RowChange(
            old_split="train",
            old_row=2,
            new_split="train",
            new_row=2,
            old={"text": REVIEWS[1][0], "label": "0"},
            new={"text": REVIEWS[1][0], "label": "1"},
        ),
    )
    (edited,) = found.examples["edited"]
    assert (edited.old_row, edited.new_row) == (4, 4)
    assert edited.old is not None
    assert edited.new is not None
    assert (edited.old["text"], edited.new["text"]) == (REVIEWS[3][0], new[3][0])
    (removed,) = found.examples["removed"]
    assert (removed.old_row, removed.new_row, removed.new) == (5, None, None)
    (added,) = found.examples["added"]
    assert (added.old_row, added.new_row, added.new_split) == (None, 6, "train")
    assert not found.is_empty


def test_labels_are_counted_in_both_versions() -> None:
    found = changes([("a", 1), ("b", 0), ("c", 0), ("d", None)], [("a", 1), ("b", 1), ("c", 2)])
    assert found.labels == (
        LabelShift("1", 1, 2, 0.25, 2 / 3),
        LabelShift("2", 0, 1, 0.0, 1 / 3),
        LabelShift("0", 2, 0, 0.5, 0.0),
        LabelShift("", 1, 0, 0.25, 0.0),
    )


def test_each_label_of_a_list_counts() -> None:
    rows = pa.table({"text": ["a", "b"], "label": [["x", "y"], ["x"]], "_row": [1, 2]})
    found = diff({"t": rows}, {"t": rows}, text_columns=["text"], label_column="label")
    assert [(shift.label, shift.old, shift.new) for shift in found.labels] == [
        ("x", 2, 2),
        ("y", 1, 1),
    ]


def test_doubled_rows_count_as_often_as_they_are_there() -> None:
    a, b = ("a", 1), ("b", 0)
    assert counts(changes([a, a, a, b], [a, b])) == {"unchanged": 2, "removed": 2}
    assert counts(changes([a, b], [a, b, b, b])) == {"unchanged": 2, "added": 2}
    assert counts(changes([a, a, a], [a, ("a", 0), ("a", 0)])) == {"unchanged": 1, "relabelled": 2}
    assert not changes([a, b, a], [b, a]).reordered


def test_rows_that_went_to_another_split_are_moved() -> None:
    old = {"train": REVIEWS[:4], "test": REVIEWS[4:]}
    new = {"train": REVIEWS[1:5], "test": [REVIEWS[0], REVIEWS[5]]}
    found = changes(old, new)
    assert counts(found) == {"unchanged": 4, "moved": 2}
    first = found.examples["moved"][0]
    assert (first.old_split, first.old_row) == ("train", 1)
    assert (first.new_split, first.new_row) == ("test", 1)


def test_a_row_relabelled_in_another_split_is_relabelled() -> None:
    old = {"train": REVIEWS[:2], "test": REVIEWS[2:3]}
    new = {"train": REVIEWS[:1], "test": [REVIEWS[2], (REVIEWS[1][0], 1)]}
    assert counts(changes(old, new)) == {"unchanged": 2, "relabelled": 1}


def test_splits_that_come_and_go_add_and_remove_their_rows() -> None:
    found = changes({"train": REVIEWS[:2], "dev": REVIEWS[2:3]}, {"train": REVIEWS[:2]})
    assert counts(found) == {"unchanged": 2, "removed": 1}
    assert found.examples["removed"][0].old_split == "dev"
    assert counts(changes({}, {"train": REVIEWS})) == {"added": 6}
    assert counts(changes({"train": REVIEWS}, {"train": []})) == {"removed": 6}


def test_another_order_is_said_and_changes_no_row() -> None:
    found = changes(REVIEWS, REVIEWS[::-1])
    assert counts(found) == {"unchanged": 6}
    assert found.reordered
    assert not found.is_empty


def test_edited_rows_are_known_in_another_order_too() -> None:
    new = [
        ("X " + text if number == 2 else text, label)
        for number, (text, label) in enumerate(REVIEWS)
    ]
    found = changes(REVIEWS, new[3:] + new[:3])
    assert counts(found) == {"unchanged": 5, "edited": 1}
    assert (found.examples["edited"][0].old_row, found.examples["edited"][0].new_row) == (3, 6)


def test_when_every_row_is_edited_the_order_tells_which_is_which() -> None:
    old = [
        (f"Review number {number} of this long series of films", number % 2)
        for number in range(5000)
    ]
    found = changes(old, [(text.upper().replace("REVIEW", "Review"), label) for text, label in old])
    assert found.edited == 0
    found = changes(old, [(text.replace("long", "short"), label) for text, label in old])
    assert counts(found) == {"edited": 5000}
    assert all(one.old_row == one.new_row for one in found.examples["edited"])


def test_texts_that_have_nothing_in_common_are_no_edit() -> None:
    found = changes([REVIEWS[0], ("good", 1)], [REVIEWS[0], ("Zzz", 1)])
    assert counts(found) == {"unchanged": 1, "added": 1, "removed": 1}


def test_of_several_likely_pairs_the_most_similar_is_taken() -> None:
    old = [("the film was good", 1), ("the film was very bad", 0)]
    new = [("the film was very, very bad", 0), ("the film was good!", 1)]
    found = changes(old, new)
    assert counts(found) == {"edited": 2}
    assert [(one.old_row, one.new_row) for one in found.examples["edited"]] == [(1, 2), (2, 1)]


def test_too_many_changes_are_not_all_compared_and_that_is_said() -> None:
    count = int(MAX_PAIRS**0.5) + 100
    old = [(f"{random.Random(n).random()}", 0) for n in range(count)]
    new = [(f"{random.Random(-n - 1).random()} else", 0) for n in range(count + 1)]
    found = changes(old, new)
    assert counts(found) == {"added": count + 1, "removed": count}
    assert "too many" in found.notes[0]
    assert changes(REVIEWS, REVIEWS[1:]).notes == ()


def test_columns_that_come_and_go_are_named_and_rows_compared_without_them() -> None:
    old, new = table(REVIEWS), table(REVIEWS[1:])
    old = old.append_column("lang", [["en"] * 6])
    new = new.append_column("stars", pa.array([5.0] * 5)).append_column("_own", pa.array([1] * 5))
    found = diff({"t": old}, {"t": new}, text_columns=["text"], label_column="label")
    assert (found.columns_added, found.columns_removed) == (("stars",), ("lang",))
    assert counts(found) == {"unchanged": 5, "removed": 1}


def test_versions_without_a_common_column_share_no_row() -> None:
    old, new = pa.table({"a": ["x"], "_row": [1]}), pa.table({"b": ["x", "y"], "_row": [1, 2]})
    found = diff({"t": old}, {"t": new}, text_columns=None, label_column=None)
    assert counts(found) == {"added": 2, "removed": 1}
    assert [one.new for one in found.examples["added"]] == [{"b": "x"}, {"b": "y"}]


def test_types_do_not_matter_but_values_do() -> None:
    old = pa.table(
        {"text": pa.array(["a", "b"]).dictionary_encode(), "label": [1, 0], "_row": [1, 2]}
    )
    new = pa.table(
        {"label": ["1", "0"], "text": pa.array(["a", "b"], pa.large_string()), "_row": [1, 2]}
    )
    found = diff({"t": old}, {"t": new}, text_columns=["text"], label_column="label")
    assert found.is_empty


def test_without_known_columns_rows_are_compared_whole() -> None:
    new = [(REVIEWS[0][0], 0), *REVIEWS[1:]]
    found = diff(
        {"t": table(REVIEWS)}, {"t": table(new, first=11)}, text_columns=None, label_column=None
    )
    assert counts(found) == {"unchanged": 5, "edited": 1}
    assert found.labels == ()
    (edited,) = found.examples["edited"]
    assert (edited.old_row, edited.new_row) == (1, 11)
    assert edited.new == {"text": REVIEWS[0][0], "label": "0"}


def test_chats_are_compared_whole() -> None:
    def chat(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": answer}]

    old = pa.table({"messages": [chat("Because."), chat("So.")], "_row": [1, 2]})
    new = pa.table({"messages": [chat("Because of it."), chat("So.")], "_row": [1, 2]})
    found = diff({"t": old}, {"t": new}, text_columns=["messages"], label_column=None)
    assert counts(found) == {"unchanged": 1, "edited": 1}


def test_examples_are_as_many_as_wanted_shortened_and_fit_json() -> None:
    old = [("x" * 1000 + str(number), 0) for number in range(9)]
    found = diff(
        {"t": table(old)}, {"t": table([])}, text_columns=["text"], label_column="label", examples=3
    )
    assert len(found.examples["removed"]) == 3
    text = json.loads(json.dumps(found.to_json()))["examples"]["removed"][2]["old"]["text"]
    assert text == "x" * 300 + "…"


def test_examples_of_long_texts_show_where_they_differ() -> None:
    found = changes([("x" * 999 + " old", 0)], [("x" * 999 + " new", 0)])
    (edited,) = found.examples["edited"]
    assert edited.old == {"text": "…" + "x" * 49 + " old", "label": "0"}
    assert edited.new == {"text": "…" + "x" * 49 + " new", "label": "0"}


@pytest.mark.parametrize("seed", range(20))
def test_any_change_is_accounted_for(seed: int) -> None:
    chance = random.Random(seed)
    words = ["good", "bad", "film", "the", "a", "very"]

    def some(count: int) -> Rows:
        return [
            (" ".join(chance.choices(words, k=chance.randint(0, 4))), chance.choice([0, 1, None]))
            for _ in range(count)
        ]

    old = {"train": some(chance.randint(0, 40)), "test": some(chance.randint(0, 20))}
    new = {split: [row for row in rows if chance.random() < 0.7] for split, rows in old.items()}
    new["train"] += some(chance.randint(0, 10))
    if chance.random() < 0.5:
        chance.shuffle(new["train"])
    found = changes(old, new)
    counts(found)
    same = sum((Counter(old[split]) & Counter(new[split])).total() for split in old)
    assert found.unchanged == same
    left = [
        sum((Counter(side[split]) - Counter(other[split]) for split in old), Counter())
        for side, other in ((old, new), (new, old))
    ]
    assert found.moved == (left[0] & left[1]).total()
