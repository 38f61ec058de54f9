"""The adapter: where it is put, what trains, and that nothing is lost on the way back."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
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

from tunesmith.config.schema import LoraConfig
from tunesmith.errors import ConfigError, ModelError
from tunesmith.training.adapter import (
    adapted_layers,
    add_adapter,
    count_parameters,
    load_adapter,
    save_adapter,
    trainable_weights,
    with_weights,
)
from tunesmith.training.model import ModelSource, load_base, load_tokenizer

AUTO_CLASS = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "CAUSAL_LM": "AutoModelForCausalLM",
}
IDS = torch.tensor([[6, 7, 8, 9, 30, 31], [12, 40, 6, 6, 7, 20], [11, 18, 19, 33, 2, 3]])


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


class Adapted:
    """A base model with an adapter, as the engine makes it."""

    def __init__(
        self,
        folder: Path,
        lora: dict[str, Any] | None = None,
        *,
        task: str = "SEQ_CLS",
        weights: str = "float32",
    ) -> None:
        self.source = ModelSource(folder.name, folder, False, "sha256:0")
        self.task, self.weights = task, weights
        asked = LoraConfig(**(lora or {}))
        torch.manual_seed(3)
        base, self.fresh = self.base()
        self.model = add_adapter(
            base,
            asked,
            task_type=task,
            fresh_modules=self.fresh,
            quantized=False,
        )

    def base(self) -> tuple[Any, list[str]]:
        arguments = {"num_labels": 2, "pad_token_id": 0} if self.task == "SEQ_CLS" else {}
        return load_base(
            self.source,
            auto_class=AUTO_CLASS[self.task],
            arguments=arguments,
            weights=self.weights,
            attention="eager",
            device="cpu",
        )

    def logits(self, model: Any) -> Any:
        with self.products():
            return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits.float()

    def products(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.weights == "bfloat16")

    def train(self, steps: int = 3) -> None:
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trainable, lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            logits = self.logits(self.model)
            (logits.logsumexp(-1) - logits[..., 0]).mean().backward()
            optimizer.step()
        self.model.eval()

    def answers(self, model: Any) -> torch.Tensor:
        with torch.inference_mode():
            return self.logits(model)  # type: ignore[no-any-return]

    def reloaded(self, folder: Path) -> Any:
        """The adapter saved into `folder` and put on a base model made afresh."""
        save_adapter(self.model, load_tokenizer(self.source), folder, "owner/base")
        torch.manual_seed(99)  # a new head starts otherwise than it did
        base, _ = self.base()
        return load_adapter(base, folder)

    @property
    def layers(self) -> set[str]:
        """The modules with LoRA weights."""
        marker = ".lora_A.default.weight"
        names = [n for n, _ in self.model.named_parameters() if n.endswith(marker)]
        return {n.removeprefix("base_model.model.").removesuffix(marker) for n in names}


def init_values() -> list[bool | str]:
    """Every value of lora.init_lora_weights that the schema accepts."""
    kind, literal = typing.get_args(LoraConfig.model_fields["init_lora_weights"].annotation)
    assert kind is bool
    return [True, False, *typing.get_args(literal)]


# -- where it goes ------------------------------------------------------------------------------


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


# -- what trains --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lora",
    [{}, {"use_dora": True}, {"bias": "lora_only"}, {"init_lora_weights": "pissa"}],
    ids=str,
)
def test_what_trains_is_float32_over_a_bfloat16_base(
    tiny_distilbert: Path, lora: dict[str, Any]
) -> None:
    adapted = Adapted(tiny_distilbert, lora, weights="bfloat16")
    kinds: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for parameter in adapted.model.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}


def test_a_new_head_trains_whole_and_the_base_not_at_all(tiny_distilbert: Path) -> None:
    adapted = Adapted(tiny_distilbert)
    assert adapted.fresh == ["classifier", "pre_classifier"]
    trained = {n for n, p in adapted.model.named_parameters() if p.requires_grad}
    rest = {n for n in trained if "lora_" not in n}
    assert rest == {
        f"base_model.model.{head}.modules_to_save.default.{part}"
        for head in ("pre_classifier", "classifier")
        for part in ("weight", "bias")
    }


def test_a_head_of_several_layers_does_not_make_the_blocks_train_whole(
    folders: dict[str, Path],
) -> None:
    """RoBERTa's head has a layer called `dense`, as every block of it."""
    adapted = Adapted(folders["tiny-roberta"])
    assert adapted.fresh == ["classifier.dense", "classifier.out_proj"]
    whole = [
        n
        for n, p in adapted.model.named_parameters()
        if p.requires_grad and "lora_" not in n and not n.startswith("base_model.model.classifier.")
    ]
    assert whole == []


# -- and back -----------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{
        f"init_lora_weights={value}": ("tiny-distilbert", "SEQ_CLS", {"init_lora_weights": value})
        for value in init_values()
    },
    "DoRA": ("tiny-distilbert", "SEQ_CLS", {"use_dora": True}),
    "rsLoRA": ("tiny-distilbert", "SEQ_CLS", {"use_rslora": True}),
    "rank_pattern": ("tiny-distilbert", "SEQ_CLS", {"rank_pattern": {"q_lin": 2}}),
    "alpha_pattern": ("tiny-distilbert", "SEQ_CLS", {"alpha_pattern": {"q_lin": 2}}),
    "biases of adapted layers": ("tiny-distilbert", "SEQ_CLS", {"bias": "lora_only"}),
    "layer norms saved whole": (
        "tiny-distilbert",
        "SEQ_CLS",
        {"modules_to_save": ["sa_layer_norm"]},
    ),
    "an adapted layer saved whole": ("tiny-distilbert", "SEQ_CLS", {"modules_to_save": ["q_lin"]}),
    "a regular expression": ("tiny-distilbert", "SEQ_CLS", {"target_modules": r".*\.q_lin"}),
    "Llama": ("tiny-llama", "CAUSAL_LM", {}),
    "Llama with its head": ("tiny-llama", "CAUSAL_LM", {"modules_to_save": ["lm_head"]}),
    "Llama as classifier": ("tiny-llama", "SEQ_CLS", {}),
    "GPT-2": ("tiny-gpt2", "CAUSAL_LM", {}),
    "GPT-2 with PiSSA": ("tiny-gpt2", "CAUSAL_LM", {"init_lora_weights": "pissa"}),
    "GPT-2 as classifier": ("tiny-gpt2", "SEQ_CLS", {}),
    "RoBERTa": ("tiny-roberta", "SEQ_CLS", {}),
    "RoBERTa that classified before": ("tiny-roberta-classifier", "SEQ_CLS", {}),
    "ModernBERT, whose new head has a norm": ("tiny-modernbert", "SEQ_CLS", {}),
}


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_adapter_answers_on_a_fresh_base_exactly_as_it_did(
    folders: dict[str, Path], tmp_path: Path, variant: str, weights: str
) -> None:
    model, task, lora = VARIANTS[variant]
    adapted = Adapted(folders[model], lora, task=task, weights=weights)
    untrained = adapted.answers(adapted.model.eval())
    began = trainable_weights(adapted.model)
    adapted.train()
    trained = adapted.answers(adapted.model)
    assert float((trained - untrained).abs().max()) > 0.01
    with with_weights(adapted.model, began):
        assert torch.equal(adapted.answers(adapted.model), untrained)
    assert torch.equal(adapted.answers(adapted.reloaded(tmp_path)), trained)


@pytest.mark.parametrize("lora", [{"bias": "all"}, {"modules_to_save": ["word_embeddings"]}])
def test_what_the_plan_keeps_in_float32_comes_back_exactly(
    tiny_distilbert: Path, tmp_path: Path, lora: dict[str, Any]
) -> None:
    adapted = Adapted(tiny_distilbert, lora)
    adapted.train()
    trained = adapted.answers(adapted.model)
    assert torch.equal(adapted.answers(adapted.reloaded(tmp_path)), trained)


def test_both_layers_of_a_new_head_are_saved_as_they_were_trained(
    tiny_distilbert: Path, tmp_path: Path
) -> None:
    adapted = Adapted(tiny_distilbert)
    before = {n: p.detach().clone() for n, p in adapted.model.named_parameters()}
    adapted.train()
    again = dict(adapted.reloaded(tmp_path).named_parameters())
    saved = load_file(tmp_path / "adapter_model.safetensors")
    for head in ("pre_classifier", "classifier"):
        name = f"base_model.model.{head}.modules_to_save.default.weight"
        trained = dict(adapted.model.named_parameters())[name]
        assert not torch.equal(trained, before[name])
        assert torch.equal(again[name], trained)
        assert torch.equal(saved[f"base_model.model.{head}.weight"], trained)


def test_an_adapter_starts_without_changing_the_model(folders: dict[str, Path]) -> None:
    adapted = Adapted(folders["tiny-llama"], task="CAUSAL_LM")
    base, _ = adapted.base()
    torch.testing.assert_close(adapted.answers(adapted.model.eval()), adapted.answers(base))


def test_the_same_seed_makes_the_same_adapter(tiny_distilbert: Path) -> None:
    first, second = (dict(Adapted(tiny_distilbert).model.named_parameters()) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_folder_holds_what_others_need_to_load_it(
    tiny_distilbert: Path, tmp_path: Path
) -> None:
    Adapted(tiny_distilbert).reloaded(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not any(name.endswith((".bin", ".pt")) for name in names)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/base"
    assert config["task_type"] == "SEQ_CLS"


def test_a_folder_without_a_whole_fitting_adapter_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    adapted = Adapted(folders["tiny-distilbert"])
    with pytest.raises(ModelError, match=r"the adapter in .* can't be loaded"):
        load_adapter(adapted.base()[0], tmp_path)
    adapted.reloaded(tmp_path)
    with pytest.raises(ModelError, match=r"the adapter in .* can't be loaded"):
        load_adapter(Adapted(folders["tiny-llama"], task="CAUSAL_LM").base()[0], tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"the adapter in .* can't be loaded"):
        load_adapter(adapted.base()[0], tmp_path)
