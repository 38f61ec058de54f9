"""The plan: how this machine will run this training, with a reason for each choice.

What is chosen follows from the machine, the configuration and the data alone, never from a clock:
a choice that timings made would make two trainings of one seed differ.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tunesmith.config.schema import ExperimentConfig, LoraConfig
from tunesmith.errors import ConfigError, DeviceError, Problem
from tunesmith.tasks import TASKS
from tunesmith.threads import decided
from tunesmith.training.place import Place

REFERENCE = "training.plan is reference: as plain transformers and PEFT have it"
LONGEST_FOR_EAGER = 512
"""Tokens up to which plain attention is taken on a CPU: its scores grow with their square."""

SLOT_DEVICE = "TUNESMITH_SLOT_DEVICE"
"""Environment variable in which a worker says that the training's slot has a GPU: `cuda`."""


@dataclass(frozen=True)
class Choice:
    """One line of the plan."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Device, number formats and attention of one training.

    `precision` is the format of the matrix products, `weights` that of the frozen weights; the
    weights that train are always float32. Batches are padded to a multiple of `length_multiple`
    tokens. `kernels` lets those of `tunesmith.training.kernels` in,
    `own_attention` the one among them, `liger` those of Liger. `fused_optimizer` means PyTorch's
    AdamW in one pass over each weight.
    """

    device: str
    precision: str
    weights: str
    attention: str
    choices: tuple[Choice, ...]
    kernels: bool = False
    own_attention: bool = False
    fused_optimizer: bool = False
    liger: bool = False
    length_multiple: int = 1

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON."""
        return asdict(self)


def detect_device() -> tuple[str, str]:
    """The best device of this machine and why: CUDA, then MPS, then CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda", f"found {torch.cuda.get_device_name(0)}"
    if torch.backends.mps.is_available():
        return "mps", "found Apple's GPU (MPS)"
    return "cpu", "no CUDA and no MPS device here"


def choose_device(wanted: str | None) -> tuple[str, str]:
    """The device to train on and why.

    Raises DeviceError when `wanted` isn't there, naming what is, and when nothing was asked for
    and the worker's GPU can't be used: nobody expects the CPU then.
    """
    import torch

    found, reason = detect_device()
    if wanted is None:
        if os.environ.get(SLOT_DEVICE) == "cuda" and found != "cuda":
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            raise DeviceError(
                f"the worker gave this training a GPU (CUDA_VISIBLE_DEVICES={visible}), and torch "
                f"{torch.__version__} can't use it: compare its CUDA {torch.version.cuda} with "
                "what nvidia-smi says, or set training.device to cpu."
            )
        return found, reason
    count = _count_gpus()
    there = ["cpu"]
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cuda", *(f"cuda:{i}" for i in range(count))] if count else []
    if wanted not in there:
        raise DeviceError(
            f"training.device: {wanted} isn't there; this machine has {', '.join(there)}. "
            "Leave it null to use the best one."
        )
    return wanted, "asked for in training.device"


def make_plan(config: ExperimentConfig, place: Place | None = None) -> Plan:
    """Decide how to run `config` here, at `place` among the processes that torchrun started.

    Raises DeviceError when the device isn't there, ConfigError when it can't do what is asked.
    """
    training, model = config.training, config.model
    device, device_reason = choose_device(training.device)
    if training.processes > 1:
        here = place.local_size if place else training.processes
        check_processes(here, device, gpus=_count_gpus())
        if device == "cuda":  # each process has one of its own
            device = f"cuda:{place.local_rank if place else 0}"
    quantized = "4 bits" if model.load_in_4bit else "8 bits" if model.load_in_8bit else None
    if quantized:
        _check_quantization(device, model.load_in_4bit)
    reference = training.plan == "reference"
    precision, precision_reason = (
        ("float32", REFERENCE)
        if reference and training.precision == "auto"
        else _precision(training.precision, device)
    )
    weights, weights_reason = _weights(precision, config.lora)
    attention, attention_reason = _attention(config, device)
    kernels, kernels_reason = _kernels(config, device, quantized=quantized is not None)
    own_attention = kernels and attention == "eager" and model.attn_implementation is None
    fused, optimizer_reason = _optimizer(config, device)
    liger = _liger(config, device)
    multiple = _length_multiple(config, device, precision)
    return Plan(
        device=device,
        precision=precision,
        weights=weights,
        attention=attention,
        kernels=kernels,
        own_attention=own_attention,
        fused_optimizer=fused,
        liger=liger,
        length_multiple=multiple,
        choices=(
            Choice("device", device, device_reason),
            *_threads(),
            Choice("precision", precision, precision_reason),
            Choice("frozen weights", quantized or weights, weights_reason),
            Choice("attention", attention, attention_reason),
            Choice("kernels", _kernels_in_words(kernels, own_attention, liger), kernels_reason),
            Choice("optimizer", f"{training.optim}{', fused' if fused else ''}", optimizer_reason),
            _batches(training.group_by_length, multiple),
            *_processes(config, device, place),
        ),
    )


def check_processes(processes: int, device: str, *, gpus: int) -> None:
    """Raise DeviceError when that many `processes` can't train together on `device`.

    `gpus` is the number of CUDA GPUs of this machine: each process has one of its own.
    """
    from torch import distributed

    asked = f"training.processes: {processes} processes"
    alone = "set training.processes to 1"
    if device == "mps":
        raise DeviceError(
            f"{asked} can't share Apple's GPU (MPS): {alone}, or training.device to cpu."
        )
    if device.startswith("cuda:"):
        raise DeviceError(
            f"{asked} need a GPU each, and training.device names one ({device}): set it to cuda, "
            f"or {alone}."
        )
    if device == "cuda" and gpus < processes:
        raise DeviceError(
            f"{asked} need as many GPUs, and {gpus} can be seen here: {alone}"
            + (f" (or up to {gpus})" if gpus > 1 else "")
            + ", or training.device to cpu."
        )
    if not distributed.is_available():
        raise DeviceError(
            f"{asked} need a PyTorch with torch.distributed, unlike this one: {alone}."
        )


def threads_per_process(processes: int) -> int:
    """The threads that each of `processes` computes with, of those that one would have alone."""
    import torch

    return max(1, torch.get_num_threads() // processes)


def _threads() -> list[Choice]:
    """How many threads compute on the CPU, and what they do while they wait for each other."""
    import torch

    found = decided()
    return [
        Choice("threads", str(torch.get_num_threads()), found.count_reason),
        Choice("waiting threads", found.waiting, found.waiting_reason),
    ]


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _processes(config: ExperimentConfig, device: str, place: Place | None) -> list[Choice]:
    """What several processes mean; nothing for one."""
    training = config.training
    if training.processes == 1:
        return []
    rows = training.per_device_train_batch_size
    threads = threads_per_process(1 if place else training.processes)
    own = "a GPU" if device != "cpu" else f"{threads} thread{'s' if threads > 1 else ''}"
    return [
        Choice(
            "processes",
            f"{training.processes}, each with {own} of its own",
            f"asked for in training.processes; {rows} rows in each are {training.processes * rows} "
            "at once, as in one process with that batch size",
        )
    ]


def _precision(wanted: str, device: str) -> tuple[str, str]:
    import torch

    if wanted != "auto":
        if wanted == "float16" and not device.startswith("cuda"):
            raise ConfigError(
                [
                    Problem(
                        "training.precision",
                        f"float16 needs loss scaling, which {device} doesn't have",
                        wanted,
                        "auto, float32, bfloat16",
                    )
                ]
            )
        return wanted, "asked for in training.precision"
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "this GPU computes it at full speed"
        return "float16", "this GPU has no fast bfloat16"
    if device == "cpu" and _cpu_has_fast_bfloat16():
        return "bfloat16", "this processor has bfloat16 instructions"
    return "float32", f"no fast bfloat16 known for this {device}"


def _weights(precision: str, lora: LoraConfig) -> tuple[str, str]:
    """The format of the base's weights."""
    if precision == "float32":
        return "float32", "as the products are"
    if precision == "float16":
        return "float32", "float16 products are computed from them by autocast"
    if lora.bias == "all" or lora.modules_to_save:
        # A layer norm or an embedding in float32 does not go with neighbours in bfloat16.
        return "float32", "layers of the base model itself train too"
    return "bfloat16", "they never change, and need no cast at every step"


def _cpu_has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware (AVX512_BF16, AMX)."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _attention(config: ExperimentConfig, device: str) -> tuple[str, str]:
    wanted = config.model.attn_implementation
    if wanted is not None:
        return wanted, "asked for in model.attn_implementation"
    if config.training.plan == "reference":
        return "auto", REFERENCE
    if device == "cpu" and config.data.max_length <= LONGEST_FOR_EAGER:
        # PyTorch's fused attention has a slow backward for short sequences on CPU.
        return "eager", "faster than fused attention for short texts on CPU"
    if device == "cpu":
        return "auto", f"fused: texts may have over {LONGEST_FOR_EAGER} tokens (data.max_length)"
    return "auto", "PyTorch's fused attention, where the model has it"


def _kernels(config: ExperimentConfig, device: str, *, quantized: bool) -> tuple[bool, str]:
    wanted = config.training.kernels
    if wanted is not None:
        return wanted, "asked for in training.kernels"
    if config.training.plan == "reference":
        return False, REFERENCE
    if quantized:
        return False, "the frozen weights are quantized"
    if device == "mps":
        return False, "never measured on Apple's GPU"
    return True, "the same results in fewer passes over memory, while it trains"


def _kernels_in_words(kernels: bool, own_attention: bool, liger: bool) -> str:
    parts = ["LoRA, norms, dropout"] if kernels else []
    parts += ["attention"] if own_attention else []
    parts += ["Liger's"] if liger else []
    return ", ".join(parts) or "those of PyTorch and PEFT"


def with_kernels(plan: Plan, used: Collection[str], notes: Sequence[str]) -> Plan:
    """`plan` with the line of the kernels in `used`, and with `notes` on why not others."""
    value = _kernels_in_words("LoRA layers" in used, "attention" in used, plan.liger)

    def line(choice: Choice) -> Choice:
        reasons = [choice.reason, *notes] if used else notes
        return Choice(choice.setting, value, "; ".join(reasons))

    return replace(
        plan, choices=tuple(line(c) if c.setting == "kernels" else c for c in plan.choices)
    )


def _optimizer(config: ExperimentConfig, device: str) -> tuple[bool, str]:
    """Whether AdamW runs fused, and why."""
    optim = config.training.optim
    if optim != "adamw_torch":
        return False, "asked for in training.optim"
    if config.training.plan == "reference":
        return False, REFERENCE
    if device == "mps":
        return False, "as PyTorch has it"
    return True, "the same update in one pass over each weight"


def _liger(config: ExperimentConfig, device: str) -> bool:
    """Whether Liger's kernels are used: on a GPU, for chat models, where they are installed."""
    wanted = config.training.use_liger_kernel
    if wanted is not None:
        return wanted
    return (
        config.training.plan != "reference"
        and device.startswith("cuda")
        and TASKS[config.task_name].peft_task_type == "CAUSAL_LM"
        and importlib.util.find_spec("liger_kernel") is not None
    )


def _length_multiple(config: ExperimentConfig, device: str, precision: str) -> int:
    """Tokens of which the length of a batch is a multiple.

    On a CPU oneDNN compiles its products in bfloat16 for each new length, some 40 of them in 13 ms.
    Batches of chats are packed, and computed so long that this doesn't matter.
    """
    compiled = device == "cpu" and precision == "bfloat16"
    if not compiled or TASKS[config.task_name].peft_task_type == "CAUSAL_LM":
        return 1
    return 1 if config.training.plan == "reference" else 4


def _batches(by_length: bool, multiple: int) -> Choice:
    value = "by length" if by_length else "shuffled"
    reason = "short texts cost little" if by_length else "training.group_by_length is off"
    if multiple == 1:
        return Choice("batches", f"{value}, padded to the longest", reason)
    return Choice(
        "batches",
        f"{value}, padded to a multiple of {multiple} tokens",
        f"{reason}; each length more needs products compiled for it",
    )


def _check_quantization(device: str, four_bits: bool) -> None:
    field = "model.load_in_4bit" if four_bits else "model.load_in_8bit"
    missing = []
    if not device.startswith("cuda"):
        missing.append(f"a CUDA GPU (this training runs on {device})")
    if importlib.util.find_spec("bitsandbytes") is None:
        missing.append("bitsandbytes (pip install 'tunesmith[quantization]')")
    if missing:
        raise ConfigError(
            [Problem(field, f"needs {' and '.join(missing)}; set it to false here", True)]
        )
