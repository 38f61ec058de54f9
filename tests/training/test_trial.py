"""The trial of kernels: what differs, in outputs or in gradients, leaves the model as it is."""

from __future__ import annotations

import json
import weakref
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from tests.training.test_kernels import SMALL, adapted, chat_batch, gradients
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from tunesmith.tasks.parts.packing import PACKED, PADDED, packs
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning
from tunesmith.training.kernels import attention, install_kernels, lora, norm, synthetic, trial
from tunesmith.training.kernels.install import Kernels
from tunesmith.training.kernels.shortened import shortened
from tunesmith.training.memory.halving import free_memory
from tunesmith.training.plan import Choice, Plan, with_kernels
from tunesmith.training.ranks.group import Group
from tunesmith.training.ranks.place import Place

PLAN = Plan("cpu", "float32", "float32", "eager", (), kernels=True, own_attention=True)


def llama(**more: Any) -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**SMALL, **more}))
    return adapted(model, "all-linear", "CAUSAL_LM").float()


def mistral(window: int | None) -> Any:
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(**SMALL, sliding_window=window, initializer_range=0.3)  # it attends somewhere
    )
    return adapted(model, "all-linear", "CAUSAL_LM").float()


@pytest.mark.parametrize(
    ("window", "attends"), [(4, PADDED), (12, PADDED), (13, PACKED), (None, PACKED)]
)
def test_texts_longer_than_a_window_are_not_packed(window: int | None, attends: str) -> None:
    batch = chat_batch()  # of up to 13 tokens
    task, model = SupervisedFineTuning(SftOptions()), mistral(window)
    expected = task.loss(model.train(), batch)
    wanted = gradients(model, expected)
    assert install_kernels(model.eval(), PLAN, longest=13).count["attention"] == 1
    assert model.config._attn_implementation == attends
    assert packs(model.train()) is (attends == PACKED)
    loss = task.loss(model, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for name, gradient in gradients(model, loss).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-5, msg=name)


def test_gradients_that_differ_are_seen_though_the_outputs_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backward = norm._RmsNorm.backward
    assert install_kernels(llama(), PLAN).count["norms"] == 5
    monkeypatch.setattr(
        norm._RmsNorm, "backward", lambda ctx, grad: (backward(ctx, grad)[0] * 1.01, None, None)
    )
    model = llama()
    kinds = {type(module) for module in model.modules()}
    assert install_kernels(model, PLAN) == Kernels(notes=["none: the results differ"])
    assert {type(module) for module in model.modules()} == kinds


@pytest.mark.parametrize("error", [KeyError("mask"), AssertionError(), AttributeError("bias")])
def test_whatever_a_kernel_raises_leaves_the_model_as_it_is(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(attention, "padded", broken)
    model = llama()
    installed = install_kernels(model, PLAN)
    assert "attention" not in installed.count
    assert installed.count["LoRA layers"] == 14
    assert model.config._attn_implementation == "eager"
    (note,) = installed.notes
    assert note.startswith(
        f"attention is the model's own: trying it failed with {type(error).__name__}"
    )


def test_a_model_that_can_not_read_synthetic_texts_keeps_all_of_its_own() -> None:
    model = llama()

    def broken(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("it wants pictures")

    model.get_base_model().model.forward = broken
    said = "none: trying it failed with NotImplementedError: it wants pictures"
    assert install_kernels(model, PLAN) == Kernels(notes=[said])


def test_memory_that_runs_out_is_named_and_what_was_computed_is_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[weakref.ref[torch.Tensor]] = []
    freed: list[bool] = []

    def runs_out(query: torch.Tensor, *_: Any) -> torch.Tensor:
        scores = query * 2
        scores_of = [scores]
        scores_of.append(scores_of)  # type: ignore[arg-type]  # only a garbage collection finds it
        computed.append(weakref.ref(scores))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def free() -> None:
        free_memory()
        freed.append(all(each() is None for each in computed))

    monkeypatch.setattr(attention, "padded", runs_out)
    monkeypatch.setattr(trial, "free_memory", free)
    installed = install_kernels(llama(), PLAN)
    assert installed.notes == [
        "attention is the model's own: the memory of cpu was not enough to try it"
    ]
    assert freed
    assert all(freed)


def test_a_model_too_large_to_be_tried_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_BYTES", 10_000)
    model = llama().bfloat16()
    (note,) = install_kernels(model, PLAN).notes
    assert note.startswith("none: its layers take 8")
    assert note.endswith(" GB in float32, and a trial takes 1e-05 GB at most")


def test_the_first_process_decides_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = llama(), llama()
    tried = install_kernels(first, PLAN)

    class Other(Group):
        def __init__(self) -> None:
            super().__init__(Place(1, 2))

        def first(self, value: Any) -> Any:
            assert value is None
            return json.loads(json.dumps(asdict(tried)))

    monkeypatch.setattr(trial.Trial, "__init__", None)  # it tries nothing of its own
    assert install_kernels(other, PLAN, Other()) == tried
    assert tried.count["LoRA layers computed together"] == 10
    assert other.config._attn_implementation == PACKED
    for one, same in zip(first.modules(), other.modules(), strict=True):
        assert type(one).__name__ == type(same).__name__
        assert isinstance(one, norm._FrozenNorm) is isinstance(same, norm._FrozenNorm)
        assert (getattr(one, "siblings", None) is None) is (getattr(same, "siblings", None) is None)


def test_the_plan_says_what_has_no_kernel_and_why() -> None:
    plan = replace(PLAN, choices=(Choice("kernels", "LoRA, norms, dropout, attention", "faster"),))
    (line,) = with_kernels(plan, {"LoRA layers": 14}, ["attention is the model's own: why"]).choices
    assert line.value == "LoRA, norms, dropout"
    assert line.reason == "faster; attention is the model's own: why"
    (line,) = with_kernels(plan, {}, ["none: the results differ"]).choices
    assert line == Choice("kernels", "those of PyTorch and PEFT", "none: the results differ")


def test_a_model_in_bfloat16_is_tried_in_float32_and_is_itself_again_afterwards() -> None:
    model = llama()
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    base = {name: p.detach().clone() for name, p in model.named_parameters()}
    plan = Plan("cpu", "bfloat16", "bfloat16", "eager", (), kernels=True, own_attention=True)
    installed = install_kernels(model, plan).count
    assert (installed["attention"], installed["LoRA layers"], installed["norms"]) == (1, 14, 5)
    assert installed["LoRA layers computed together"] == 10
    for name, parameter in model.named_parameters():
        assert parameter.dtype == base[name].dtype, name
        assert torch.equal(parameter, base[name]), name


def test_a_rounding_of_the_model_hides_no_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 a share of 0.2 % is rounding; in float32 it isn't."""
    padded = attention.padded
    monkeypatch.setattr(attention, "padded", lambda *given: padded(*given) * 1.002)
    model = llama()
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    plan = Plan("cpu", "bfloat16", "bfloat16", "eager", (), kernels=True, own_attention=True)
    assert "attention" not in install_kernels(model, plan).count


def test_a_trial_computes_as_many_layers_as_there_are_kinds_of_them() -> None:
    model = llama(num_hidden_layers=6).get_base_model().model
    with shortened(model):
        assert len(model.layers) == 2
    assert len(model.layers) == 6
    model.layers[3].self_attn.window = 8
    with shortened(model):
        assert len(model.layers) == 4


def test_synthetic_texts_are_as_long_as_the_longest_row_and_padded() -> None:
    texts = synthetic.texts(llama().get_base_model(), longest=30)
    assert texts["attention_mask"].sum(dim=1).tolist() == [30, 22, 16]
    assert synthetic.texts(llama().get_base_model(), longest=3)["input_ids"].shape == (3, 12)


def test_layers_are_adapted_where_embeddings_are_adapted_too() -> None:
    torch.manual_seed(0)
    targets = ["embed_tokens", "q_proj"]
    model = adapted(LlamaForCausalLM(LlamaConfig(**SMALL)), targets, "CAUSAL_LM").float()
    assert install_kernels(model, PLAN).count["attention"] == 1
    assert sum(isinstance(module, lora.AdaptedLinear) for module in model.modules()) == 2
