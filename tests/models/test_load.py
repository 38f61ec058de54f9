"""Loading a base model and its tokenizer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from tests.conftest import save_tokenizer
from tests.models.test_model import edit, load, locate
from transformers import (
    BertConfig,
    BertForMaskedLM,
)

from tunesmith.errors import ModelError
from tunesmith.models.inspect import inspect_model
from tunesmith.models.load import load_tokenizer
from tunesmith.models.locate import ModelSource


def test_weights_that_the_folder_lacks_are_told(tiny_distilbert: Path, tiny_chat: Path) -> None:
    model, fresh = load(tiny_distilbert)
    assert fresh == ["classifier", "pre_classifier"]
    assert not model.training
    assert load(tiny_chat)[1] == ["score"]
    assert load(tiny_chat, auto_class="AutoModelForCausalLM", arguments={})[1] == []


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_weights_have_the_format_of_the_plan(tiny_distilbert: Path, weights: str) -> None:
    model, _ = load(tiny_distilbert, weights=weights)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, weights)}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_one_of_the_plan(tiny_distilbert: Path, attention: str) -> None:
    model, _ = load(tiny_distilbert, attention=attention)
    assert model.config._attn_implementation == attention


def test_a_head_for_other_labels_is_made_anew(copy: Path, tmp_path: Path) -> None:
    model, _ = load(copy, arguments={"num_labels": 5})
    model.save_pretrained(copy)
    same, fresh = load(copy, arguments={"num_labels": 5})
    assert fresh == []
    assert torch.equal(same.classifier.weight, model.classifier.weight)
    other, fresh = load(copy, arguments={"num_labels": 2})
    assert fresh == ["classifier"]
    assert other.classifier.weight.shape == (2, 64)
    assert torch.equal(other.pre_classifier.weight, model.pre_classifier.weight)


def test_a_pooler_that_the_folder_lacks_is_told(tmp_path: Path) -> None:
    size = save_tokenizer(tmp_path, chat=False)
    config = BertConfig(
        vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path)
    assert load(tmp_path)[1] == ["bert.pooler.dense", "classifier"]


def test_weights_of_another_shape_than_the_config_says_are_refused(copy: Path) -> None:
    edit(copy / "config.json", dim=32)
    with pytest.raises(ModelError, match=r"its weights don't fit its config.json \(distilbert\."):
        load(copy)


def test_a_folder_that_lacks_layers_of_its_config_is_refused(copy: Path) -> None:
    edit(copy / "config.json", n_layers=3)
    with pytest.raises(ModelError, match=r"don't fit its config.json \(.*layer\.2\..* and 15 more"):
        load(copy)


def test_weights_that_were_cut_off_are_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"can't be read: model.safetensors is cut off"):
        inspect_model(copy)
    with pytest.raises(ModelError, match=r"can't be loaded: .*incomplete"):
        load(copy)


def test_an_architecture_that_transformers_does_not_know_is_refused(copy: Path) -> None:
    edit(copy / "config.json", model_type="unheard_of")
    with pytest.raises(ModelError, match=r"distil can't be loaded: .*unheard_of"):
        load(copy)


def test_code_that_comes_with_a_model_is_not_run(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (copy / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    names = ("AutoConfig", "AutoModelForSequenceClassification", "AutoTokenizer")
    theirs = {"auto_map": dict.fromkeys(names, "theirs.C")}
    edit(copy / "config.json", model_type="unheard_of", **theirs)
    edit(copy / "tokenizer_config.json", tokenizer_class="Theirs", **theirs)
    source = locate(copy, tmp_path)
    assert source.trust_remote_code is False
    with pytest.raises(ModelError, match="custom code"):
        load(source.folder)
    with pytest.raises(ModelError):
        load_tokenizer(source)
    assert not marker.exists()


def test_a_folder_without_a_tokenizer_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="distil holds no tokenizer"):
        load_tokenizer(locate(copy, tmp_path))


def test_a_broken_tokenizer_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(ModelError, match=r"the tokenizer of .*distil can't be loaded"):
        load_tokenizer(locate(copy, tmp_path))


def test_a_folder_in_home_is_written_so_that_it_holds_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    source = ModelSource("m", tmp_path / "models" / "m", False, "sha256:0")
    assert source.expression == "os.path.expanduser('~/models/m')"
    assert eval(source.expression) == str(source.folder)  # noqa: S307 - ours
    assert os.path.isabs(source.reference)  # noqa: PTH117 - a text
