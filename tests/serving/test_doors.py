"""An adapter answers the same through every door; all families and more rows: make
test-architectures."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chat_families import FAMILIES
from tests.serving.doors import disagreements, train_family

from tunesmith.settings import Settings


@pytest.mark.parametrize("name", ["qwen-3"])
def test_judging_predict_serve_and_exports_give_the_same_answers(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    one = train_family(FAMILIES[name], tmp_path, settings, rows=120, judged=20)
    assert len({row["predicted"] for row in one.predictions}) > 2
    assert disagreements(one, settings, tmp_path) == {
        name: [] for name in ("predict", "serve", "merged", "package", "llama.cpp", "plain PEFT")
    }
