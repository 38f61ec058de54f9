from __future__ import annotations

import polars as pl
import pytest

from tunesmith.data import texts


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 101])
def test_texts_are_matched_alike_in_however_many_parts(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "LEAST_ROWS", 2)
    rows = pl.Series([None if n % 7 == 3 else f"row {n}" for n in range(count)], dtype=pl.String)
    expected = [n % 7 != 3 and "5" in str(n) for n in range(count)]
    assert texts.matching(rows, "5").to_list() == expected
