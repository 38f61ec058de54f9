"""How much memory a training will take at most, by the shapes of its model: no weights, no torch.

What a layer keeps for the way back is counted in numbers per token, in terms of the width of its
states and of its feed-forward part. These counts, and what the allocator and the libraries add,
were measured (`docs/architecture.md` says with which error); they are meant to be a little high.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.config.schema import ExperimentConfig, LoraConfig
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Example
from tunesmith.training.model import ModelFacts

PROCESS = 700_000_000
"""Bytes of a training's process with PyTorch, transformers and PEFT, before it loads a model."""
TRAINER = 100_000_000
"""Bytes that the trainer and the first step's kernels add, whatever the model is."""
CPU_ALLOCATOR = 1.75
"""Memory that a step leaves in the process by what it asks for: batches of many sizes leave gaps
(glibc's malloc), and the way back has gradients of its own."""
GPU_ALLOCATOR = 1.25
"""The same for CUDA's caching allocator; not measured."""
PASSING = 1.5
"""The same for what is only evaluated."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MOMENTS = {"adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "adafactor": 1, "sgd": 0}
"""Bytes that an optimizer keeps for each parameter."""
_NAMES = {
    "layers": ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    "hidden": ("hidden_size", "dim", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_heads", "n_head", "num_heads"),
    "inner": ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim", "d_ff"),
}
"""What architectures call their sizes in `config.json`."""


@dataclass(frozen=True)
class Load:
    """What goes through the model at once."""

    rows: int
    """Rows of a batch that are computed at once."""
    tokens: int
    """Tokens of the longest text of a row."""
    targets: int
    """Most tokens of a row that logits are made for."""
    eval_rows: int
    eval_tokens: int
    eval_targets: int

    @classmethod
    def of_configuration(cls, config: ExperimentConfig, *, eval_rows: int) -> Load:
        """The most that `config` lets through: `data.max_length` tokens a row, all of them answer.

        Logits of a classification are few: they are made for one token of a row.
        """
        longest = config.data.max_length
        task = TASKS[config.task_name]
        targets = longest * task.texts_per_row if task.peft_task_type == "CAUSAL_LM" else 1
        rows = config.training.per_device_train_batch_size
        return cls(rows, longest, targets, eval_rows, longest, targets)

    @classmethod
    def of_examples(
        cls, rows: int, train: Sequence[Example], eval_rows: int, evaluation: Sequence[Example]
    ) -> Load:
        """The most that batches of `rows` of these encoded rows are."""
        return cls(
            min(rows, len(train)),
            max(map(_tokens, train), default=0),
            max((int(e["targets"]) for e in train), default=0),
            min(eval_rows, len(evaluation)),
            max(map(_tokens, evaluation), default=0),
            max((int(e["targets"]) for e in evaluation), default=0),
        )


def _tokens(example: Example) -> int:
    """Tokens of the longest text of a row."""
    texts = [value for value in example.values() if isinstance(value, array)]
    return max(len(text) for text in (example["input_ids"], *texts))


def _by_text(load: Load, texts: int) -> Load:
    """`load` with every one of the `texts` of a row as a row of its own."""
    return replace(
        load,
        rows=load.rows * texts,
        targets=-(-load.targets // texts),
        eval_rows=load.eval_rows * texts,
        eval_targets=-(-load.eval_targets // texts),
    )


@dataclass(frozen=True)
class Formats:
    """How the plan holds and computes numbers: the fields of a `Plan` of the same names."""

    device: str
    precision: str
    weights: str
    attention: str


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one training process, by what they are for."""

    process: int
    """The process itself, without a model; 0 on a GPU."""
    weights: int
    adapter: int
    """What trains, with gradients and the optimizer's moments."""
    step: int
    """What a batch keeps for the way back, and its logits."""
    evaluation: int
    """The most that judging takes at once."""
    verification: int
    """The fresh base model that the saved adapter is loaded into, and its file as it is read."""

    @property
    def peak(self) -> int:
        """The most at once. What a step leaves in a process on CPU isn't given back before the end.

        Verifying comes after the first model is gone, which is counted all the same: it isn't
        always given back either.
        """
        after = max(self.evaluation, self.verification)
        return self.process + self.weights + self.adapter + self.step + after


def estimate_memory(
    config: ExperimentConfig, facts: ModelFacts, load: Load, formats: Formats
) -> MemoryEstimate | None:
    """The memory of one process of the training; None for a model that doesn't tell its sizes."""
    task = TASKS[config.task_name]
    sizes = _Sizes.of(facts, writes=task.peft_task_type == "CAUSAL_LM")
    if sizes is None:
        return None
    load = _by_text(load, task.texts_per_row)
    cpu = not formats.device.startswith("cuda")
    weights = _weights(config, facts, formats)
    trained = _trained_parameters(config.lora, facts)
    step = _step(config, facts, sizes, load, formats) * (CPU_ALLOCATOR if cpu else GPU_ALLOCATOR)
    evaluation = _evaluation(sizes, load, formats) * PASSING
    return MemoryEstimate(
        process=PROCESS if cpu else 0,
        weights=weights,
        adapter=trained * (4 + 4 + MOMENTS[config.training.optim]),
        step=int(step) + (TRAINER if cpu else 0),
        evaluation=int(evaluation),
        verification=weights + facts.file_bytes + int(evaluation) if cpu else int(evaluation),
    )


@dataclass(frozen=True)
class _Sizes:
    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int
    """Logits at each target; 0 where the model writes no text."""
    gated: bool
    """Whether the feed-forward part multiplies two products (SwiGLU and its like)."""

    @classmethod
    def of(cls, facts: ModelFacts, *, writes: bool) -> _Sizes | None:
        found = {size: _size(facts, size) for size in _NAMES}
        found["inner"] = found["inner"] or 4 * found["hidden"]
        if not all(found.values()) or facts.experts:
            return None
        vocabulary = facts.settings.get("vocab_size") if writes else 0
        gated = any(re.search(r"\bgate(_up)?_proj$|\bwi_1$", name) for name in facts.modules)
        return cls(
            **found,
            vocabulary=vocabulary if isinstance(vocabulary, int) else 0,
            gated=gated,
        )


def _size(facts: ModelFacts, name: str) -> int:
    """One of `_NAMES` as the model's settings give it; 0 where they don't."""
    return next((v for n in _NAMES[name] if isinstance(v := facts.settings.get(n), int)), 0)


def _weights(config: ExperimentConfig, facts: ModelFacts, formats: Formats) -> int:
    """Bytes of the frozen weights; 4 bits are 4.5 with their scales, and all else float32 then."""
    if not (config.model.load_in_4bit or config.model.load_in_8bit):
        each = BYTES[formats.weights]
        if BYTES[formats.precision] < each:  # autocast's copies, which the way back needs
            each += BYTES[formats.precision]
        return facts.parameters * each
    packed = sum(math.prod(facts.shapes[f"{name}.weight"]) for name in facts.matrices_in_blocks)
    per_weight = 4.5 / 8 if config.model.load_in_4bit else 1.0
    return int(packed * per_weight) + (facts.parameters - packed) * 4


def _trained_parameters(lora: LoraConfig, facts: ModelFacts) -> int:
    """Parameters of the adapter, of what is trained whole, and of a new head as large as one is."""
    count = 0
    rank = max([lora.r, *lora.rank_pattern.values()])
    for name in adapted_modules(lora, facts):
        out, into = facts.shapes[f"{name}.weight"]
        count += rank * (out + into) + (out if lora.use_dora else 0)
    whole = tuple(lora.modules_to_save or ())
    for name, shape in facts.shapes.items():
        parts = name.split(".")
        saved = any(module in parts or name.startswith(f"{module}.") for module in whole)
        if saved or (lora.bias != "none" and parts[-1] == "bias"):
            count += math.prod(shape)
    hidden = _size(facts, "hidden")
    return count + (hidden * (hidden + 64) if lora.task_type == "SEQ_CLS" else 0)


def adapted_modules(lora: LoraConfig, facts: ModelFacts) -> list[str]:
    """Names of the model's matrices that get an adapter, as PEFT chooses them.

    A pattern counts as all of them: who asks the API for an estimate may have written one that
    takes for ever.
    """
    if not isinstance(lora.target_modules, list):
        return facts.matrices_in_blocks
    endings = tuple(f".{last}" for last in lora.target_modules)
    return [name for name in facts.modules if f".{name}".endswith(endings)]


def _step(
    config: ExperimentConfig, facts: ModelFacts, sizes: _Sizes, load: Load, formats: Formats
) -> float:
    """Bytes that a batch keeps for the way back.

    Measured on what autograd saves, in numbers of the precision for each token and layer: 10 times
    the states' width and once the feed-forward part's (BERT), or 8.5 times and three times where it
    is gated (Llama), and the inputs of the adapted matrices, those that share one counted once.
    Attention scores are kept twice, once of them in float32 where it is computed eagerly. Logits
    are there in the plan's format, in float32, and with their gradients.
    """
    each = BYTES[formats.precision]
    lora = config.lora
    inputs: dict[tuple[str, int], int] = {}
    every = 0
    for name in adapted_modules(lora, facts):
        into = facts.shapes[f"{name}.weight"][1]
        inputs[name.rpartition(".")[0], into] = into
        every += into
    states, inner = (8.5, 3) if sizes.gated else (10, 1)
    per_layer = states * sizes.hidden + inner * sizes.inner
    bytes_per_token = per_layer * each * sizes.layers + sum(inputs.values()) * each
    if lora.lora_dropout:  # every adapter has its own
        bytes_per_token += 4 * every
    scores = (6 if each == 2 else 10) * sizes.heads * load.tokens * sizes.layers
    if formats.attention == "sdpa" and formats.device == "cpu":
        scores = scores * 14 // 6  # its way back keeps more than the eager one
    elif formats.attention != "eager":
        scores = 0
    kept = bytes_per_token + scores
    if config.training.gradient_checkpointing:
        kept = 4 * sizes.hidden * sizes.layers + kept / sizes.layers
    tokens = load.rows * load.tokens
    return tokens * kept + load.rows * load.targets * sizes.vocabulary * 16


def _evaluation(sizes: _Sizes, load: Load, formats: Formats) -> float:
    """Bytes that one evaluation batch takes: its largest layer at once, and its logits."""
    each = BYTES[formats.precision]
    per_token = (4 * sizes.hidden + 3 * sizes.inner) * each
    if formats.attention == "eager" or formats.device == "cpu":
        per_token += 10 * sizes.heads * load.eval_tokens
    tokens = load.eval_rows * load.eval_tokens
    return tokens * per_token + load.eval_rows * load.eval_targets * sizes.vocabulary * 10
