"""Real, small models and data that the tests make: no network, a training in about a second."""

from __future__ import annotations

import asyncio
import csv
import gc
import logging
import os
import random
import shutil
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tunesmith.jobs.logs import LOUD
from tunesmith.settings import Settings
from tunesmith.store.store import Store

T = TypeVar("T")

WORDS = (
    *("good", "great", "fine", "superb", "lovely", "bad", "poor", "dull", "awful", "dreadful"),
    *("film", "movie", "plot", "actor", "scene", "story", "the", "a", "is", "was", "very", "quite"),
    *("rather", "and", "but", "not", "it", "this", "that", "with", "of", "to", "in", ".", "?"),
    *("fresh", "rotten", "one", "word", "answer", "review"),
)
GOOD, BAD = WORDS[:5], WORDS[5:10]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def sentence(rng: random.Random, *, good: bool) -> str:
    """A few words with one that decides: learnable by a tiny model."""
    filler = [rng.choice(WORDS[10:30]) for _ in range(rng.randint(3, 9))]
    filler.insert(rng.randrange(len(filler) + 1), rng.choice(GOOD if good else BAD))
    return " ".join(filler)


def write_reviews(path: Path, rows: int, seed: int = 0) -> Path:
    """A CSV of `rows` distinct reviews, columns review and verdict (good, bad), in equal parts."""
    rng = random.Random(seed)
    seen: set[str] = set()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "verdict"])
        while len(seen) < rows:
            good = len(seen) % 2 == 0
            text = sentence(rng, good=good)
            if text not in seen:
                seen.add(text)
                writer.writerow([text, "good" if good else "bad"])
    return path


def save_tokenizer(folder: Path, *, chat: bool) -> int:
    """Save a whole-word tokenizer of `WORDS` into `folder`; returns its vocabulary's size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<|im_start|>", "<|im_end|>"]
    names = [*special, *dict.fromkeys([*WORDS, "user", "assistant", "system", "\n"])]
    model = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    if not chat:
        model.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token=None if chat else "[CLS]",
        sep_token=None if chat else "[SEP]",
        eos_token="<|im_end|>" if chat else None,
        additional_special_tokens=["<|im_start|>"] if chat else [],
        model_max_length=64,
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(names)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. It runs in a thread: in this one the browser's loop may be running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


gc.disable()  # while all tests are collected: what they import stays


def pytest_collection_finish() -> None:
    """From here on garbage is looked for, but not in the libraries and tests themselves."""
    gc.freeze()
    gc.enable()


LONGEST = ("tests/ui/", "tests/test_starter", "tests/api/test_schemathesis")


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell starts a command in the background without it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: at the end, one process would wait for the other."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(autouse=True)
def mask_as_it_was() -> Iterator[None]:
    """A command that a test calls keeps the files of this process to their owner."""
    mask = os.umask(0o077)
    os.umask(mask)
    yield
    os.umask(mask)


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test calls may set up logging to a stream that is closed with the test."""
    loggers = [logging.getLogger(name) for name in (None, "tunesmith", *LOUD)]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DistilBERT of two layers with random weights, in the hub's folder format."""
    import torch
    from transformers import DistilBertConfig, DistilBertModel

    torch.set_num_threads(1)  # matrices this small are slower on more
    folder = tmp_path_factory.mktemp("models") / "tiny-distilbert"
    size = save_tokenizer(folder, chat=False)
    torch.manual_seed(0)
    DistilBertModel(
        DistilBertConfig(
            vocab_size=size, dim=64, hidden_dim=128, n_layers=2, n_heads=4,
            max_position_embeddings=64, dropout=0.0, attention_dropout=0.0,
            initializer_range=0.1,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "tiny-chat"
    size = save_tokenizer(folder, chat=True)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
            eos_token_id=5, pad_token_id=0, bos_token_id=None, initializer_range=0.3,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 short reviews, half of them good."""
    return write_reviews(tmp_path_factory.mktemp("data") / "reviews.csv", 240)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose folders are this test's own."""
    return Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=tmp_path / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{tmp_path / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=tmp_path / "cache",
    )


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without experiments, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("stores") / "template.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(settings: Settings, migrated_sqlite: Path) -> Iterator[Store]:
    """The store of this test's settings."""
    path = Path(settings.store_url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        shutil.copy(migrated_sqlite, path)
    with Store(settings.store_url) as opened:
        yield opened


@pytest.fixture
def classification(tiny_distilbert: Path, reviews: Path) -> dict[str, object]:
    """A small, whole classification experiment, as a mapping."""
    return {
        "experiment_name": "reviews",
        "task": {"name": "text-classification"},
        "model": {"name": str(tiny_distilbert)},
        "lora": {"r": 8, "lora_dropout": 0.05},
        "data": {"dataset_name": str(reviews), "eval_samples": 40, "max_length": 32},
        "training": {
            "learning_rate": 3e-3,
            "warmup_steps": 0.1,
            "num_train_epochs": 5,
            "per_device_train_batch_size": 8,
            "logging_steps": 5,
            "device": "cpu",
        },
    }


@pytest.fixture
def chat(tiny_chat: Path, reviews: Path) -> dict[str, object]:
    """A small, whole chat experiment, as a mapping."""
    return {
        "experiment_name": "chat",
        "task": {
            "name": "sft",
            "prompt_template": "{review} fresh or rotten ?",
            "completion_column": "verdict",
        },
        "model": {"name": str(tiny_chat)},
        "lora": {"r": 4},
        "data": {"dataset_name": str(reviews), "eval_samples": 24, "max_length": 48},
        "training": {
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 8,
            "logging_steps": 5,
            "device": "cpu",
        },
    }
