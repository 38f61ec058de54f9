"""The kernels: in float64 each gives what PyTorch, PEFT and transformers give, or stays aside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.packing import packed, packs, shared_length
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning
from tunesmith.tasks.token_classification import TokenClassification, TokenClassificationOptions
from tunesmith.training.kernels import attention, dropout, install_kernels, lora, norm
from tunesmith.training.plan import Plan

EXACT = Plan("cpu", "float64", "float64", "eager", (), kernels=True, own_attention=True)
SMALL: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "head_dim": 8, "attn_implementation": "eager", "pad_token_id": 0,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "attn_implementation": "eager",
    "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
CHATS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2)),
}


def adapted(model: Any, targets: list[str] | str, task_type: str, **more: Any) -> Any:
    """`model` in float64 with an adapter that already does something."""
    config = LoraConfig(task_type=task_type, r=4, lora_alpha=6, target_modules=targets, **more)
    model = get_peft_model(model, config).double().eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator).double() / 8
    return model


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of `loss`, by parameter."""
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=1e-10, atol=1e-12, msg=name)
        assert gradient.abs().max() > 0, name


def chat_batch(texts: int = 4) -> dict[str, torch.Tensor]:
    """Texts of 10 to 13 tokens, the first six the same; the last three of each are answers."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, 64, (texts, 13), generator=generator)
    ids[:, :6] = ids[0, :6]
    ids[:, 6] = torch.arange(texts) + 1
    lengths = 13 - torch.arange(texts) % 4
    places = torch.arange(13)[None]
    mask = places < lengths[:, None]
    labels = torch.where(mask & (places >= lengths[:, None] - 3), ids, IGNORED)
    return {"input_ids": ids * mask, "attention_mask": mask.long(), "labels": labels}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("needs_input", [True, False], ids=["inner", "first"])
def test_an_adapted_layer_gives_what_peft_gives(bias: bool, needs_input: bool) -> None:
    torch.manual_seed(0)
    layer = adapted(nn.Sequential(nn.Linear(12, 7, bias=bias)), ["0"], "FEATURE_EXTRACTION")
    x = torch.randn(3, 5, 12, dtype=torch.float64, requires_grad=needs_input)
    weigh = torch.randn(3, 5, 7, dtype=torch.float64)

    def outcome() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        result = layer.base_model.model(x)
        found = gradients(layer, (result * weigh).sum())
        if needs_input:
            (found["input"],) = torch.autograd.grad((layer.base_model.model(x) * weigh).sum(), x)
        return result, found

    layer.train()
    plain, plain_gradients = outcome()
    plan = Plan("cpu", "float64", "float64", "auto", (), kernels=True)
    assert install_kernels(layer, plan).count == {"LoRA layers": 1}
    ours, our_gradients = outcome()
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    assert "AdaptedLinear" in type(ours.grad_fn).__name__
    assert_same(our_gradients, plain_gradients)


def test_layers_that_compute_otherwise_are_left_to_peft() -> None:
    torch.manual_seed(0)
    for more in ({"use_dora": True}, {"bias": "all"}, {"lora_bias": True}):
        layer = adapted(nn.Sequential(nn.Linear(8, 8)), ["0"], "FEATURE_EXTRACTION", **more)
        assert not [module for module in layer.modules() if lora.fits(module)], more


def test_a_switched_off_or_merged_adapter_is_off() -> None:
    torch.manual_seed(0)
    layer = adapted(nn.Sequential(nn.Linear(8, 8)), ["0"], "FEATURE_EXTRACTION").train()
    x = torch.randn(2, 8, dtype=torch.float64)
    with layer.disable_adapter():
        without = layer.base_model.model(x)
    install_kernels(layer, EXACT_WITHOUT_ATTENTION)
    with layer.disable_adapter():
        torch.testing.assert_close(layer.base_model.model(x), without, rtol=0, atol=0)
    kept = layer.base_model.model(x)
    layer.merge_adapter()
    torch.testing.assert_close(layer.base_model.model(x), kept, rtol=1e-12, atol=1e-12)


EXACT_WITHOUT_ATTENTION = Plan("cpu", "float64", "float64", "auto", (), kernels=True)


def test_a_norm_gives_what_the_model_gives_and_gemmas_is_left_alone() -> None:
    torch.manual_seed(0)
    plain, ours = (LlamaRMSNorm(16, eps=1e-5).double().requires_grad_(False) for _ in range(2))
    ours.weight.data = plain.weight.data = torch.rand(16, dtype=torch.float64) + 0.5
    assert norm.fits(ours)
    norm.use(ours)
    x = torch.randn(4, 3, 16, dtype=torch.float64, requires_grad=True)
    weigh = torch.randn(4, 3, 16, dtype=torch.float64)
    # Llama's rounds to float32 on the way; the kernel keeps what it is given.
    torch.testing.assert_close(ours(x), plain(x), rtol=1e-6, atol=1e-6)
    found, expected = (torch.autograd.grad((m(x) * weigh).sum(), x)[0] for m in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.autograd.gradcheck(lambda given: ours(given), (x,))
    assert not norm.fits(GemmaRMSNorm(16).requires_grad_(False))
    assert not norm.fits(LlamaRMSNorm(16))  # its weight trains


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_keeps_its_share_and_the_mean(share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(500, 401, dtype=torch.float64, requires_grad=True)
    dropped = dropout.dropout(x, share)
    zero = (dropped == 0).double().mean().item()
    error = (share * (1 - share) / x.numel()) ** 0.5
    assert abs(zero - share) < 5 * error
    assert abs(dropped.mean().item() - 1) < 5 * error / (1 - share)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped.detach())
    columns = (dropped == 0).double()  # neighbours, of one random word, know nothing of each other
    together = (columns[:, 0::4][:, :100] * columns[:, 1::4]).mean().item()
    assert abs(together - share**2) < 0.01
    torch.manual_seed(0)
    assert torch.equal(dropout.dropout(x, share), dropped)


@pytest.mark.parametrize("name", list(CHATS))
def test_packed_texts_give_the_loss_and_gradients_of_padded_ones(name: str) -> None:
    torch.manual_seed(0)
    transposed = {"fan_in_fan_out": True} if name == "gpt2" else {}
    model = adapted(CHATS[name](), "all-linear", "CAUSAL_LM", **transposed).train()
    task, batch = SupervisedFineTuning(SftOptions()), chat_batch()
    loss = task.loss(model, batch)
    expected = gradients(model, loss)
    installed = install_kernels(model.eval(), EXACT).count
    assert installed["attention"] == 1
    assert not packs(model)
    assert packs(model.train())
    seen: list[int] = []
    embeddings = model.get_base_model().get_input_embeddings()
    hook = embeddings.register_forward_pre_hook(lambda _, given: seen.append(given[0].numel()))
    packed_loss = task.loss(model, batch)
    hook.remove()
    assert seen == [6 + 4 * 7]  # what all begin with was computed once
    # Llama's norm rounds to float32, which the kernels don't.
    torch.testing.assert_close(packed_loss, loss, rtol=1e-6, atol=1e-6)
    for parameter, gradient in gradients(model, packed_loss).items():
        torch.testing.assert_close(
            gradient, expected[parameter], rtol=1e-4, atol=1e-6, msg=parameter
        )
    alone = {key: value[:1] for key, value in batch.items()}
    torch.testing.assert_close(
        task.loss(model, alone), task.loss(model.eval(), alone), rtol=1e-6, atol=1e-6
    )


def test_what_is_shared_ends_before_the_first_answer_and_leaves_every_text_a_token() -> None:
    same = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 8]])
    nowhere = torch.zeros_like(same, dtype=torch.bool)
    assert shared_length(same, nowhere) == 3
    wanted = nowhere.clone()
    wanted[1, 1] = True
    assert shared_length(same, wanted) == 1
    assert shared_length(torch.tensor([[5, 6], [4, 6]]), nowhere[:, :2]) == 0
    assert packed(same, 3)["input_ids"].tolist() == [[5, 6, 7, 8, 8]]
    assert packed(same, 3)["position_ids"].tolist() == [[0, 1, 2, 3, 3]]


@pytest.mark.parametrize(
    ("targets", "together"), [(["query", "value"], 2), (["query", "key", "value", "dense"], 3 + 2)]
)
def test_a_classifier_computes_as_before(tiny: Any, targets: list[str], together: int) -> None:
    ids = torch.randint(1, 64, (3, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    patterns = {"rank_pattern": {"value": 2}, "alpha_pattern": {"query": 3}}
    model = adapted(tiny(0.0), targets, "SEQ_CLS", **patterns).train()
    weigh = torch.randn(3, 2, dtype=torch.float64)

    def outcome() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        logits = model(input_ids=ids, attention_mask=mask).logits
        return logits, gradients(model, (logits * weigh).sum())

    plain, expected = outcome()
    installed = install_kernels(model.eval(), EXACT).count
    assert (installed["attention"], installed["last layer for one token"]) == (1, 1)
    # The last layer's query reads the first token, and its key and value all of them.
    assert installed["LoRA layers computed together"] == together
    model.train()
    widths: list[int] = []
    last = model.get_base_model().bert.encoder.layer[-1]
    hook = last.register_forward_hook(lambda _, __, result: widths.append(result.shape[1]))
    ours, found = outcome()
    hook.remove()
    assert widths == [1]
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)
    assert_same(found, expected)


def test_layers_computed_together_are_computed_for_each_input_anew() -> None:
    torch.manual_seed(0)
    model = adapted(CHATS["llama"](), "all-linear", "CAUSAL_LM")
    base = {name: part.clone() for name, part in model.get_base_model().state_dict().items()}
    installed = install_kernels(model, EXACT).count
    assert installed["LoRA layers computed together"] == 2 * (3 + 2)
    for name, part in model.get_base_model().state_dict().items():
        assert torch.equal(part, base[name]), name
    model.train()
    own = model.get_base_model().model.layers[0].self_attn
    inputs = torch.randn(2, 2, 4, 32, dtype=torch.float64).unbind()
    query, key = own.q_proj, own.k_proj
    wanted = [(query.eval()(x), key.eval()(x)) for x in inputs]
    query.train(), key.train()
    for x, (queries, keys) in zip(inputs, wanted, strict=True):
        for _ in range(2):  # asked twice, while the others' results wait
            torch.testing.assert_close(query(x), queries, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(key(x), keys, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_attention_has_the_gradients_of_what_it_says_in_plain_words(share: float) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 3, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(2, 2, 6, 3, dtype=torch.float64, requires_grad=True) for _ in "kv")
    mask = torch.zeros(2, 1, 1, 6, dtype=torch.float64)
    mask[1, :, :, 4:] = -torch.inf
    weigh = torch.randn(2, 5, 4, 3, dtype=torch.float64)

    def plain() -> torch.Tensor:
        keys, values = (part.repeat_interleave(2, dim=1) for part in (key, value))
        weights = torch.softmax(query @ keys.transpose(2, 3) * 0.7 + mask, dim=-1)
        if share:
            weights = weights * dropout.kept(weights, share)
        return (weights @ values).transpose(1, 2)

    found = []
    for compute in (plain, lambda: attention.padded(query, key, value, mask, 0.7, share)):
        torch.manual_seed(5)
        result = compute()
        grads = torch.autograd.grad((result * weigh).sum(), [query, key, value])
        found.append((result, *grads))
    for wanted, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-12)


def test_a_distilbert_computes_its_last_layer_for_the_first_token_alone() -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": 64, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "dropout": 0.0,
        "max_position_embeddings": 64, "attention_dropout": 0.0, "seq_classif_dropout": 0.0,
        "attn_implementation": "eager",
    }  # fmt: skip
    config = DistilBertConfig(**small)
    model = adapted(DistilBertForSequenceClassification(config), ["q_lin", "v_lin"], "SEQ_CLS")
    ids = torch.randint(1, 64, (3, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[2, 5:] = 0

    def outcome() -> dict[str, torch.Tensor]:
        return gradients(model, model(input_ids=ids, attention_mask=mask).logits.square().sum())

    expected = (model.train(), outcome())[1]
    assert install_kernels(model.eval(), EXACT).count["last layer for one token"] == 1
    model.train()
    assert_same(outcome(), expected)


def test_a_model_that_tags_every_token_computes_all_layers_for_all_tokens() -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": 64, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "dropout": 0.0,
        "max_position_embeddings": 64, "attention_dropout": 0.0, "num_labels": 3,
        "attn_implementation": "eager",
    }  # fmt: skip
    config = DistilBertConfig(**small)
    model = adapted(DistilBertForTokenClassification(config), ["q_lin", "v_lin"], "TOKEN_CLS")
    task = TokenClassification(TokenClassificationOptions())
    batch = {
        "input_ids": torch.randint(1, 64, (3, 9), generator=torch.Generator().manual_seed(3)),
        "labels": torch.tensor([[IGNORED, *[0, 1, 2, IGNORED] * 2]] * 3),
        "attention_mask": torch.ones(3, 9, dtype=torch.long),
    }
    batch["attention_mask"][2, 5:], batch["labels"][2, 5:] = 0, IGNORED
    plain = task.loss(model.train(), batch)
    expected = gradients(model, plain)
    installed = install_kernels(model.eval(), EXACT).count
    assert installed["attention"] == 1
    assert "last layer for one token" not in installed
    loss = task.loss(model.train(), batch)
    torch.testing.assert_close(loss, plain, rtol=1e-10, atol=1e-12)
    assert_same(gradients(model, loss), expected)


def test_a_head_that_reads_every_token_gets_every_token(tiny: Any) -> None:
    model = adapted(tiny(0.0), ["query", "value"], "SEQ_CLS")
    bert = model.get_base_model().bert
    bert.pooler.forward = lambda states: states.mean(dim=1)  # as sentence encoders pool
    assert "last layer for one token" not in install_kernels(model, EXACT).count
    ids = torch.randint(1, 64, (3, 9))
    assert bert.train()(input_ids=ids).last_hidden_state.shape == (3, 9, 32)


def test_a_judged_model_computes_as_without_kernels(tiny: Any) -> None:
    ids = torch.randint(1, 64, (3, 9), generator=torch.Generator().manual_seed(3))
    model = adapted(tiny(0.1), ["query", "value"], "SEQ_CLS")
    before = model(input_ids=ids).logits
    installed = install_kernels(model, EXACT).count
    assert installed["dropouts"] > 0
    assert torch.equal(model(input_ids=ids).logits, before)
    torch.manual_seed(0)
    first = model.train()(input_ids=ids).logits
    assert not torch.equal(first, before)  # with dropout
    torch.manual_seed(0)
    assert torch.equal(model(input_ids=ids).logits, first)


def test_a_model_with_scores_of_its_own_keeps_its_attention() -> None:
    torch.manual_seed(0)
    small = {**SMALL, "sliding_window": 4, "query_pre_attn_scalar": 8}
    model = adapted(Gemma2ForCausalLM(Gemma2Config(**small)), "all-linear", "CAUSAL_LM")
    assert "attention" not in install_kernels(model, EXACT).count
    assert model.config._attn_implementation == "eager"
    loss = SupervisedFineTuning(SftOptions()).loss(model.train(), chat_batch())
    assert torch.isfinite(loss)


@pytest.fixture
def tiny() -> Any:
    """Makes a tiny BERT classifier with that share of dropout."""

    def build(share: float) -> Any:
        torch.manual_seed(0)
        small = {k: v for k, v in SMALL.items() if k not in ("num_key_value_heads", "head_dim")}
        small |= {"hidden_dropout_prob": share, "attention_probs_dropout_prob": share}
        return BertForSequenceClassification(BertConfig(**small))

    return build
