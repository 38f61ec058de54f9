"""Generating answers: whatever a base model's own settings say, the likeliest token each time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tasks.chats.chat_formats import CHATML, byte_tokenizer, tiny_llama
from transformers import GenerationConfig

from tunesmith.tasks.chats.generation import generate, generating, likeliest

OPEN = ("_from_model_config", "transformers_version")
"""What says how a configuration came about, and changes no answer."""


@pytest.fixture
def model() -> Any:
    return tiny_llama(byte_tokenizer(CHATML))


def test_no_field_of_the_base_models_settings_reaches_an_answer(model: Any) -> None:
    """Whatever fields transformers has: one that a later version adds is among them."""
    ours = likeliest(7, [5], 0)
    fields = [name for name in vars(GenerationConfig()) if name not in OPEN]
    assert {"repetition_penalty", "bad_words_ids", "num_beams", "min_new_tokens"} < set(fields)
    for name in fields:
        setattr(model.generation_config, name, "odd")
    model.generation_config.a_field_of_its_own = "odd"
    with generating(model) as base:
        used, _ = base._prepare_generation_config(ours)
    assert not [name for name, value in vars(used).items() if value == "odd"]
    wanted = {"max_new_tokens": 7, "eos_token_id": [5], "pad_token_id": 0, "do_sample": False}
    for name in fields:
        default = GenerationConfig._get_default_generation_params().get(name)
        assert getattr(used, name) == wanted.get(name, default), name
    assert model.generation_config.top_k == "odd"


def test_odd_settings_of_the_base_model_change_no_answer(model: Any) -> None:
    prompts = [[1, 2, 3], [40, 41, 42, 43, 44]]

    def answers() -> list[list[int]]:
        with torch.no_grad():
            return generate(model, prompts, max_new_tokens=12, ends=[9], pad_token_id=256)

    expected = answers()
    first = {answer[0] for answer in expected}
    model.generation_config = GenerationConfig(
        repetition_penalty=1.9, no_repeat_ngram_size=1, do_sample=True, temperature=9.0,
        suppress_tokens=sorted(first), eos_token_id=sorted(first), num_beams=3, min_new_tokens=9,
    )  # fmt: skip
    assert answers() == expected


def test_an_answer_ends_with_its_end(model: Any) -> None:
    with torch.no_grad():
        (whole,) = generate(model, [[1, 2, 3]], max_new_tokens=8, ends=[], pad_token_id=256)
        end = next(n for n in range(1, 8) if whole[n] not in whole[:n])
        (ended, other) = generate(
            model, [[1, 2, 3], [7, 7]], max_new_tokens=8, ends=[whole[end]], pad_token_id=256
        )
    assert ended == whole[: end + 1]
    assert 256 not in other
