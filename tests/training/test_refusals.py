"""Whose error it is: a model's own is one sentence, Tunesmith's own goes on as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training.test_trial import PLAN, llama

from tunesmith.errors import ModelError
from tunesmith.training.kernels import install_kernels, norm
from tunesmith.training.memory.refusals import models_own_errors

TEXT = torch.ones(1, 5, dtype=torch.long)


def test_a_models_own_error_names_its_file_and_line() -> None:
    with (
        pytest.raises(ModelError, match=r"\(modeling_llama.py, line \d+\) failed with IndexError"),
        models_own_errors("tiny"),
    ):
        llama()(TEXT * 1000)


def test_an_error_of_our_code_that_a_model_called_is_not_blamed_on_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("ours")

    model = llama()
    assert install_kernels(model, PLAN).count["norms"] == 5
    monkeypatch.setattr(norm._RmsNorm, "forward", broken)
    with pytest.raises(KeyError, match="ours"), models_own_errors("tiny"):
        model.train()(TEXT)
