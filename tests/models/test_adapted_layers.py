"""Which layers an adapter is put on, where its user says and where not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.test_adapter import Adapted

from tunesmith.errors import ConfigError
from tunesmith.models.adapter import (
    adapted_layers,
    count_parameters,
    load_adapter,
)


@pytest.mark.parametrize(
    ("model", "task", "layers"),
    [
        ("tiny-distilbert", "SEQ_CLS", ["k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin"]),
        (
            "tiny-llama",
            "CAUSAL_LM",
            ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
        ),
        ("tiny-gpt2", "CAUSAL_LM", ["c_attn", "c_fc", "c_proj"]),
        ("tiny-roberta", "SEQ_CLS", ["dense", "key", "query", "value"]),
    ],
)
@pytest.mark.parametrize("targets", [None, "all-linear"], ids=["null", "all-linear"])
def test_by_default_every_linear_layer_of_the_blocks_is_adapted(
    folders: dict[str, Path], model: str, task: str, layers: list[str], targets: str | None
) -> None:
    adapted = Adapted(folders[model], {"target_modules": targets}, task=task)
    assert sorted({name.rpartition(".")[2] for name in adapted.layers}) == layers
    assert all(any(part in name for part in (".0.", ".1.")) for name in adapted.layers)
    assert {name.rpartition(".")[2] for name in adapted_layers(adapted.model)} == set(layers)


def test_layers_may_be_listed(tiny_distilbert: Path) -> None:
    adapted = Adapted(tiny_distilbert, {"target_modules": ["q_lin", "v_lin"]})
    assert adapted.layers == {
        f"distilbert.transformer.layer.{n}.attention.{name}"
        for n in (0, 1)
        for name in ("q_lin", "v_lin")
    }


def test_layers_may_be_a_regular_expression(tiny_distilbert: Path) -> None:
    adapted = Adapted(tiny_distilbert, {"target_modules": r".*layer\.1\..*\.(q|k)_lin"})
    assert adapted.layers == {
        f"distilbert.transformer.layer.1.attention.{name}" for name in ("q_lin", "k_lin")
    }
    assert set(adapted_layers(adapted.model)) == adapted.layers


@pytest.mark.parametrize("targets", [["nowhere"], r"nowhere.*"])
def test_layers_that_do_not_exist_are_refused(tiny_distilbert: Path, targets: Any) -> None:
    with pytest.raises(ConfigError, match=r"^lora\.target_modules: "):
        Adapted(tiny_distilbert, {"target_modules": targets})


def test_ranks_and_scales_of_single_layers(tiny_distilbert: Path) -> None:
    lora = {"r": 8, "lora_alpha": 16, "rank_pattern": {"q_lin": 2}, "alpha_pattern": {"v_lin": 4}}
    adapted = Adapted(tiny_distilbert, {**lora, "target_modules": ["q_lin", "k_lin", "v_lin"]})
    modules = dict(adapted.model.get_base_model().named_modules())
    found = {
        name: (modules[layer].r["default"], modules[layer].scaling["default"])
        for layer in adapted.layers
        if (name := layer.rpartition(".")[2])
    }
    assert found == {"q_lin": (2, 16 / 2), "k_lin": (8, 16 / 8), "v_lin": (8, 4 / 8)}


def test_ranks_of_layers_that_a_regular_expression_matches(tiny_distilbert: Path) -> None:
    lora = {"r": 8, "rank_pattern": {r"layer\.1\..*_lin": 2, ".*": 4, "nothing.*": 3}}
    adapted = Adapted(tiny_distilbert, {**lora, "target_modules": r".*\.(q|v)_lin"})
    modules = dict(adapted.model.get_base_model().named_modules())
    ranks = {layer: modules[layer].r["default"] for layer in adapted.layers}
    assert ranks == {layer: 2 if ".1." in layer else 4 for layer in ranks}
    assert len(ranks) == 4


def test_an_adapter_s_own_patterns_are_matched_in_linear_time(
    tiny_distilbert: Path, tmp_path: Path
) -> None:
    adapted = Adapted(tiny_distilbert, {"target_modules": r".*\.q_lin", "rank_pattern": {".*": 4}})
    adapted.reloaded(tmp_path)
    place = tmp_path / "adapter_config.json"
    written = json.loads(place.read_text())
    written["target_modules"] = r"(\w+\.?)+q_lin"
    written["exclude_modules"] = r"(\w+\.?)+!"
    written["alpha_pattern"] = {r"(\w+\.?)+!": 4}
    place.write_text(json.dumps(written))
    again = load_adapter(adapted.base()[0], tmp_path)
    torch.testing.assert_close(adapted.answers(again), adapted.answers(adapted.model.eval()))


def test_rank_stabilised_lora_scales_by_the_root_of_the_rank(tiny_distilbert: Path) -> None:
    lora = {"r": 9, "lora_alpha": 6, "use_rslora": True, "target_modules": ["q_lin"]}
    adapted = Adapted(tiny_distilbert, lora)
    modules = dict(adapted.model.get_base_model().named_modules())
    assert [modules[layer].scaling["default"] for layer in adapted.layers] == [6 / math.sqrt(9)] * 2


def test_dora_learns_magnitudes(tiny_distilbert: Path) -> None:
    adapted = Adapted(tiny_distilbert, {"use_dora": True, "target_modules": ["q_lin"]})
    trained = [n for n, p in adapted.model.named_parameters() if p.requires_grad]
    assert sum("lora_magnitude_vector" in name for name in trained) == 2


def test_parameters_are_counted(tiny_distilbert: Path) -> None:
    adapted = Adapted(tiny_distilbert, {"r": 4, "target_modules": ["q_lin"]})
    trainable, total = count_parameters(adapted.model)
    head = (64 * 64 + 64) + (64 * 2 + 2)
    assert trainable == 2 * (4 * 64 + 64 * 4) + head
    assert total == sum(p.numel() for p in adapted.model.parameters()) > trainable
