"""A sample of the architecture suite, and the page that the whole of it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.architectures.families import FAMILIES, tiny_model
from tests.architectures.page import PAGE, page
from tests.architectures.suite import RESULTS, check, read, tasks_of

from tunesmith.errors import ModelError
from tunesmith.tasks.chats.generation import require_generation

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own, as in the whole suite

SAMPLE = [
    ("mistral", "sft", "padded"),  # texts longer than its window
    ("gemma3_text", "dpo", "padded"),  # a window in some of its layers
    ("gemma2", "sft", ""),  # capped scores
    ("llama", "dpo", "packed"),
    ("gpt_oss", "sft", ""),  # sinks, experts
    ("nomic_bert", "text-classification", None),  # its layers are called otherwise in its files
    ("roberta-prelayernorm", "text-classification", None),
    ("xlnet", "regression", None),  # reads what stands last
    ("t5", "text-classification", None),
    ("longformer", "token-classification", None),
    ("mpnet", "regression", None),  # counts positions from 2
    ("deberta", "text-classification", None),
    ("dots1", "sft", "padded"),  # experts whose weights are one parameter
    ("laguna", "sft", "packed"),  # PEFT renames layers of its adapters amiss
    ("rwkv", "sft", ""),  # reads what rows are filled up with
    ("t5gemma2", "token-classification", None),  # sees, too: by a part within its encoder
    ("canine", "text-classification", None),  # doesn't say where it embeds tokens
]
"""Family, task, and what our attention is given."""


@pytest.mark.parametrize(("family", "task", "how"), SAMPLE)
def test_it_learns_as_plain_transformers_and_peft_have_it(
    family: str, task: str, how: str | None, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    found = check(family, task, tmp_path)
    assert (found.what, found.sentence) == ("equal", "")
    assert how is None or found.how == how


def test_a_model_that_cannot_answer_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    model = tiny_model("blt", "AutoModelForCausalLM").train()
    with pytest.raises(ModelError, match="the base model can't answer"):
        require_generation(model, 0)
    assert model.training


def test_a_model_that_wants_more_than_texts_is_refused_in_one_sentence(tmp_path: Path) -> None:
    found = check("bros", "token-classification", tmp_path)
    assert found.what == "refused"
    assert found.sentence.startswith(
        "model.name: tiny can't be trained on these rows: its own code"
    )


def test_the_page_tells_what_was_found_of_every_family_and_task() -> None:
    results = read(RESULTS)
    assert sorted(results) == FAMILIES
    for family, tasks in results.items():
        assert sorted(tasks) == sorted(tasks_of(family)), family
        assert {found.what for found in tasks.values()} <= {"equal", "refused", "not covered"}
        assert all(found.sentence for found in tasks.values() if found.what != "equal"), family
    assert PAGE.read_text(encoding="utf-8") == page(results)
