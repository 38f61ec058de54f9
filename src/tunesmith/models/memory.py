"""How much memory a training will take at most, by the shapes of its model: no weights, no torch.

What a layer keeps for the backward pass is counted in numbers per token, in terms of the width of
its states and of its feed-forward part. These counts, and what the allocator and the libraries add,
were measured (`docs/architecture.md` says with which error); they are meant to be a little high.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.config.schema import ExperimentConfig, LoraConfig
from tunesmith.models.architectures import SIZES, drops_attention, is_gated, size_of
from tunesmith.models.formats import Formats
from tunesmith.models.inspect import ModelFacts
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Example

PROCESS = 700_000_000
"""Bytes of a training's process with PyTorch, transformers and PEFT, before it loads a model."""
TRAINER = 100_000_000
"""Bytes that the trainer and the first step's kernels add, whatever the model is."""
CPU_ALLOCATOR = 1.75
"""Memory that a step leaves in the process by what it asks for: batches of many sizes leave gaps
(glibc's malloc), and the backward pass has gradients of its own."""
GPU_ALLOCATOR = 1.25
"""The same for CUDA's caching allocator; not measured."""
PASSING = 1.5
"""The same for what is only evaluated."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MOMENTS = {"adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "adafactor": 1, "sgd": 0}
"""Bytes that an optimizer keeps for each parameter."""


@dataclass(frozen=True)
class Rows:
    """What goes through the model at once."""

    rows: int
    """Rows of a batch that are computed at once."""
    tokens: int
    """Tokens of the longest text of a row."""
    targets: int
    """Most tokens of a row that logits are made for."""

    @classmethod
    def of_examples(cls, rows: int, examples: Sequence[Example]) -> Rows:
        """The most that batches of `rows` of these encoded rows are."""
        return cls(
            min(rows, len(examples)),
            max(map(_tokens, examples), default=0),
            max((int(example["targets"]) for example in examples), default=0),
        )

    def by_text(self, texts: int) -> Rows:
        """The same with every one of the `texts` of a row as a row."""
        return replace(self, rows=self.rows * texts, targets=-(-self.targets // texts))

    def halved(self) -> Rows:
        """Half as many rows."""
        return replace(self, rows=(self.rows + 1) // 2)

    def cut(self, tokens: int) -> Rows:
        """No text longer than that."""
        return replace(self, tokens=min(self.tokens, tokens), targets=min(self.targets, tokens))


@dataclass(frozen=True)
class Load:
    """What goes through the model at once: to be learned, and to be judged."""

    learned: Rows
    judged: Rows

    @classmethod
    def of_configuration(cls, config: ExperimentConfig, judged: int) -> Load:
        """The most that `config` lets through: `data.max_length` tokens a row, all of them answer.

        Logits of a classification are few: they are made for one token of a row.
        """
        longest, task = config.data.max_length, TASKS[config.task_name]
        targets = longest * task.texts_per_row if task.writes_text else 1
        learned = Rows(config.training.per_device_train_batch_size, longest, targets)
        return cls(learned, replace(learned, rows=judged))


def _tokens(example: Example) -> int:
    """Tokens of the longest text of a row."""
    texts = [value for value in example.values() if isinstance(value, array)]
    return max(len(text) for text in (example["input_ids"], *texts))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one training process, by what they are for."""

    process: int
    """The process itself, without a model; 0 on a GPU."""
    weights: int
    adapter: int
    """What trains, with gradients and the optimizer's moments."""
    step: int
    """What a batch keeps for the backward pass, and its logits."""
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
    sizes = _Sizes.of(facts, writes=task.writes_text)
    if sizes is None:
        return None
    learned = load.learned.by_text(task.texts_per_row)
    judged = load.judged.by_text(task.texts_per_row)
    cpu = not formats.device.startswith("cuda")
    weights = _weights(config, facts, formats)
    trained = _trained_parameters(config.lora, facts)
    step = _step(config, facts, sizes, learned, formats) * (CPU_ALLOCATOR if cpu else GPU_ALLOCATOR)
    evaluation = _evaluation(sizes, judged, formats) * PASSING
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
        found = {name: size_of(facts.settings, name) for name in SIZES}
        found["inner"] = found["inner"] or 4 * found["hidden"]
        if not all(found.values()) or facts.experts:
            return None
        vocabulary = facts.settings.get("vocab_size") if writes else 0
        return cls(
            **found,
            vocabulary=vocabulary if isinstance(vocabulary, int) else 0,
            gated=any(map(is_gated, facts.modules)),
        )


def _weights(config: ExperimentConfig, facts: ModelFacts, formats: Formats) -> int:
    """Bytes of the frozen weights; 4 bits are 4.5 with their scales, and all else float32 then."""
    if not (config.model.load_in_4bit or config.model.load_in_8bit):
        each = BYTES[formats.weights]
        if BYTES[formats.precision] < each:  # autocast's copies, which the backward pass needs
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
    hidden = size_of(facts.settings, "hidden")
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
    config: ExperimentConfig, facts: ModelFacts, sizes: _Sizes, load: Rows, formats: Formats
) -> float:
    """Bytes that a batch keeps for the backward pass.

    Measured on what autograd saves, in numbers of the precision for each token and layer: 10 times
    the states' width and once the feed-forward part's (BERT), or 8.5 times and three times where it
    is gated (Llama), and the inputs of the adapted matrices, those that share one counted once.
    Logits are there in the plan's format, in float32, and with their gradients.
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
    kept = bytes_per_token + _scores(facts, formats) * sizes.heads * load.tokens * sizes.layers
    if config.training.gradient_checkpointing:
        kept = 4 * sizes.hidden * sizes.layers + kept / sizes.layers
    tokens = load.rows * load.tokens
    return tokens * kept + load.rows * load.targets * sizes.vocabulary * 16


def _scores(facts: ModelFacts, formats: Formats) -> int:
    """Bytes that the backward pass needs of each score of attention.

    Computed eagerly, scores are kept twice, once of them in float32. PyTorch's fused attention
    keeps none; with dropout it has no kernel for a CPU, and keeps 12 bytes in any format.
    """
    if formats.attention == "eager" or (formats.attention == "auto" and not facts.fuses_attention):
        return 6 if BYTES[formats.precision] == 2 else 10
    return 14 if formats.device == "cpu" and drops_attention(facts.settings) else 0


def _evaluation(sizes: _Sizes, load: Rows, formats: Formats) -> float:
    """Bytes that one evaluation batch takes: its largest layer at once, and its logits."""
    each = BYTES[formats.precision]
    per_token = (4 * sizes.hidden + 3 * sizes.inner) * each
    if formats.attention == "eager" or formats.device == "cpu":
        per_token += 10 * sizes.heads * load.tokens
    tokens = load.rows * load.tokens
    return tokens * per_token + load.rows * load.targets * sizes.vocabulary * 10
