"""Nearly equal texts: all that were planted are found, and nothing else."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from tunesmith.data.checking.duplicates import Pairs, near_pairs, numbered, row_hashes

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in ("ane", "ori", "ulu", "ete") for c in "nprstvxyz"]
HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 3_000)]


def texts(rng: random.Random, count: int, words: int = 20) -> list[str]:
    return [" ".join(rng.sample(WORDS, words)) for _ in range(count)]


def changed(rng: random.Random, text: str, words: int) -> str:
    """`text` with so many of its words replaced by ones that no other text has."""
    parts = text.split()
    for place in rng.sample(range(len(parts)), words):
        parts[place] = f"changed{rng.randrange(10**9)}"
    return " ".join(parts)


def near(rows: list[str], similarity: float) -> Pairs:
    return near_pairs(pl.Series(rows, dtype=pl.String), similarity)


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def jaccard(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(("similarity", "replaced"), [(0.8, 1), (0.6, 3)])
def test_planted_pairs_are_found_with_their_similarity(similarity: float, replaced: int) -> None:
    rng = random.Random(3)
    rows = texts(rng, 500)
    for number in range(100):
        rows.append(changed(rng, rows[number], replaced))
    pairs = near(rows, similarity)
    planted = {(number, 500 + number) for number in range(100)}
    assert as_set(pairs) <= planted
    # A pair above the threshold is missed now and then: MinHash only estimates.
    assert len(as_set(pairs)) >= 98
    expected = (20 - replaced) / (20 + replaced)
    assert pairs.similarity.tolist() == pytest.approx([expected] * len(pairs.first))


@pytest.mark.parametrize(("similarity", "replaced"), [(0.8, 3), (0.6, 6)])
def test_pairs_below_the_threshold_are_not_found(similarity: float, replaced: int) -> None:
    rng = random.Random(4)
    rows = texts(rng, 300)
    rows += [changed(rng, text, replaced) for text in rows[:200]]
    assert jaccard(rows[0], rows[300]) == pytest.approx((20 - replaced) / (20 + replaced))
    assert as_set(near(rows, similarity)) == set()


def test_a_pair_just_at_the_threshold_counts() -> None:
    # 16 of 20 words in common, of texts of 18: 16 / (18 + 18 - 16) = 0.8
    shared = [f"shared{number}" for number in range(16)]
    rows = [" ".join([*shared, "one", "two"]), " ".join([*shared, "three", "four"])]
    assert jaccard(*rows) == 0.8
    assert as_set(near(rows, 0.8)) == {(0, 1)}
    assert as_set(near(rows, 0.81)) == set()


def test_capitals_punctuation_order_and_repetition_make_no_difference() -> None:
    text = "a slow and quiet film about two brothers who lose the farm"
    rows = [
        text,
        "unlike all others in every word",
        text.upper() + "!!!",
        " ".join(reversed(text.split())),
        f"{text}, {text}",
    ]
    pairs = near(rows, 1.0)
    assert {second for _, second in as_set(pairs)} == {2, 3, 4}
    assert set(pairs.similarity.tolist()) == {1.0}


@pytest.mark.parametrize(("similarity", "replaced"), [(0.8, 2), (0.6, 6)])
def test_a_han_character_is_a_word(similarity: float, replaced: int) -> None:
    rng = random.Random(5)
    rows = ["".join(rng.sample(HAN[:2_500], 30)) for _ in range(200)]
    for number in range(50):
        like = list(rows[number])
        like[:replaced] = rng.sample(HAN[2_500:], replaced)
        rows.append("".join(like))
    found = as_set(near(rows, similarity))
    assert found <= {(number, 200 + number) for number in range(50)}
    assert len(found) >= 48


def test_kana_and_thai_without_spaces_are_compared_too() -> None:
    rows = [
        "この映画はとてもおもしろかったですが最後は少し長い",
        "この映画はとてもおもしろかったですが最後は少し短い",
        "ภาพยนตร์เรื่องนี้สนุกมากแต่ตอนจบยาวเกินไป",
        "ภาพยนตร์เรื่องนี้สนุกมากแต่ตอนจบยาวเกินไปๆ",
        "まったく別の文章",
    ]
    assert as_set(near(rows, 0.8)) == {(0, 1), (2, 3)}


@pytest.mark.parametrize(
    ("letters", "length"),
    [(HAN[:600], 10_000), ([chr(c) for c in range(0x0E01, 0x0E2F)], 300),
     ([chr(c) for c in range(0x1780, 0x17A3)], 300)],
)  # fmt: skip
def test_long_texts_that_share_their_letters_alone_are_not_alike(
    letters: list[str], length: int
) -> None:
    rng = random.Random(11)
    rows = ["".join(rng.choices(letters, k=length)) for _ in range(5)]
    rows.append(rows[0][:100] + rows[0][110:])
    assert as_set(near(rows, 0.8)) == {(0, 5)}


def test_a_group_of_n_alike_texts_gives_about_n_pairs() -> None:
    rng = random.Random(6)
    base = texts(rng, 1, 40)[0]
    rows = [changed(rng, base, 1) for _ in range(400)]
    pairs = near(rows, 0.8)
    assert set(pairs.second.tolist()) == set(range(1, 400))  # each has an earlier one
    # Its first like and its nearest in each band; not the 79,800 pairs that there are.
    assert len(pairs.first) < 400 * 12


def test_texts_without_words_are_like_no_other() -> None:
    assert as_set(near(["", "!!!", "…", "-- --", "   ", "a word"], 0.6)) == set()


def test_no_text_and_one_text_have_no_pairs() -> None:
    for rows in ([], ["one text"]):
        pairs = near(rows, 0.8)
        assert len(pairs.first) == len(pairs.second) == len(pairs.similarity) == 0


def test_pairs_are_the_same_again_sorted_and_each_there_once() -> None:
    rng = random.Random(7)
    rows = texts(rng, 300)
    rows += [changed(rng, text, 1) for text in rows[:150]]
    rng.shuffle(rows)
    one, again = near(rows, 0.8), near(rows, 0.8)
    for left, right in zip(
        (one.first, one.second, one.similarity),
        (again.first, again.second, again.similarity),
        strict=True,
    ):
        assert np.array_equal(left, right)
    listed = list(zip(one.second.tolist(), one.first.tolist(), strict=True))
    assert listed == sorted(set(listed))
    assert (one.first < one.second).all()


def test_which_texts_are_alike_does_not_depend_on_those_around_them() -> None:
    rng = random.Random(8)
    text = texts(rng, 1)[0]
    pair = [text, changed(rng, text, 1)]
    others = texts(rng, 200)
    assert as_set(near([*others[:100], *pair, *others[100:]], 0.8)) == {(100, 101)}


def test_texts_are_numbered_in_the_order_of_their_first_rows() -> None:
    texts = pl.DataFrame({"text": ["b", "a", "b", "", "a", "c"]})
    numbers, first = numbered(row_hashes(texts))
    assert numbers.tolist() == [0, 1, 0, 2, 1, 3]
    assert first.tolist() == [0, 1, 3, 5]
