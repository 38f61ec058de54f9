"""Folders of tiny models of several architectures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import save_tokenizer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    ModernBertConfig,
    ModernBertModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)


@pytest.fixture
def copy(tiny_distilbert: Path, tmp_path: Path) -> Path:
    """A tiny DistilBERT that the test may spoil."""
    return Path(shutil.copytree(tiny_distilbert, tmp_path / "distil"))


def tiny_gpt2(size: int) -> Any:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64, eos_token_id=5,
            bos_token_id=5, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip


def roberta_config(size: int) -> RobertaConfig:
    return RobertaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=66, pad_token_id=0,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


def tiny_modernbert(size: int) -> Any:
    return ModernBertModel(
        ModernBertConfig(
            vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=64, pad_token_id=0, bos_token_id=2,
            eos_token_id=3, cls_token_id=2, sep_token_id=3,
        )
    )  # fmt: skip


BUILDERS: dict[str, Callable[[int], Any]] = {
    "tiny-gpt2": tiny_gpt2,
    "tiny-roberta": lambda size: RobertaModel(roberta_config(size)),
    "tiny-roberta-classifier": lambda s: RobertaForSequenceClassification(roberta_config(s)),
    "tiny-modernbert": tiny_modernbert,
}


@pytest.fixture(scope="module")
def folders(
    tiny_distilbert: Path, tiny_chat: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Name → folder of tiny models of several architectures."""
    torch.set_num_threads(1)
    made = {"tiny-distilbert": tiny_distilbert, "tiny-llama": tiny_chat}
    for name, build in BUILDERS.items():
        made[name] = tmp_path_factory.mktemp("models") / name
        size = save_tokenizer(made[name], chat=name == "tiny-gpt2")
        torch.manual_seed(0)
        build(size).save_pretrained(made[name])
    return made
