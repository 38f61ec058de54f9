"""For each template family: an adapter gives 200 held-out rows the same answers through each door.

Slow, so no part of `make test`: `make test-architectures` runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chat_families import FAMILIES, Family
from tests.serving.doors import disagreements, train_family

from tunesmith.settings import Settings

ROWS = 200


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_door_gives_every_row_the_same_answer(
    family: Family, settings: Settings, tmp_path: Path
) -> None:
    one = train_family(family, tmp_path, settings, rows=400, judged=ROWS)
    assert len(one.predictions) == ROWS
    assert len({row["predicted"] for row in one.predictions}) > 5
    assert disagreements(one, settings, tmp_path) == {
        name: [] for name in ("predict", "serve", "merged", "package", "llama.cpp", "plain PEFT")
    }
