"""The adapter: where it is put, what trains, and that nothing is lost on the way back."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.config.schema import LoraConfig
from tunesmith.errors import ModelError
from tunesmith.models.adapter import (
    add_adapter,
    load_adapter,
    save_adapter,
    trainable_weights,
    with_weights,
)
from tunesmith.models.load import load_base, load_tokenizer
from tunesmith.models.locate import ModelSource

AUTO_CLASS = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "CAUSAL_LM": "AutoModelForCausalLM",
}
IDS = torch.tensor([[6, 7, 8, 9, 30, 31], [12, 40, 6, 6, 7, 20], [11, 18, 19, 33, 2, 3]])


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


def test_an_adapter_that_lacks_a_layers_weights_is_refused(
    tiny_distilbert: Path, tmp_path: Path
) -> None:
    adapted = Adapted(tiny_distilbert)
    adapted.reloaded(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    kept = load_file(weights)
    lost = next(name for name in sorted(kept) if ".lora_B." in name)
    save_file({name: tensor for name, tensor in kept.items() if name != lost}, weights)
    with pytest.raises(ModelError, match=r"it holds no weights for .*lora_B"):
        load_adapter(adapted.base()[0], tmp_path)
