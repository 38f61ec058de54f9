"""Every family of the installed transformers, on every task that it has a head for.

Slow: `make test-architectures` runs it and writes `docs/architectures.md`; ARGS="-k mistral" runs
some. A sample stands in `tests/models/test_architectures.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.architectures.families import FAMILIES
from tests.architectures.suite import check, tasks_of, write

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries warn of, in 233 families


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_as_plain_transformers_and_peft_have_it(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = {task: check(family, task, tmp_path / task) for task in tasks_of(family)}
    cache = request.config.cache
    assert cache is not None
    write({family: found}, cache.mkdir("architectures") / f"{family}.json")
    wrong = {task: o.sentence for task, o in found.items() if o.what in ("differs", "fails")}
    assert not wrong
