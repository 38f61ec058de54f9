"""The plan: how this machine will run this training, with a reason for each choice.

What is chosen follows from the machine, the configuration and the data alone, never from a clock:
a choice that timings made would make two trainings of one seed differ.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ConfigError, DeviceError, Problem
from tunesmith.files.machine import has_fast_bfloat16
from tunesmith.messages import joined, say, say_plural
from tunesmith.models.formats import REFERENCE, Chosen, Formats, choose_formats
from tunesmith.tasks import TASKS
from tunesmith.threads import decided
from tunesmith.training.ranks.place import Place

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

    @property
    def formats(self) -> Formats:
        """How numbers are held and computed."""
        return Formats(self.device, self.precision, self.weights, self.attention)

    def with_line(self, setting: str, value: str, reason: str) -> Plan:
        """The plan with this line, in place of what it said of that setting."""
        others = tuple(choice for choice in self.choices if choice.setting != setting)
        return replace(self, choices=(*others, Choice(setting, value, reason)))


def detect_device() -> tuple[str, str]:
    """The best device of this machine and why: CUDA, then MPS, then CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda", say("found {name}", name=torch.cuda.get_device_name(0))
    if torch.backends.mps.is_available():
        return "mps", say("found Apple's GPU (MPS)")
    return "cpu", say("no CUDA and no MPS device here")


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
                "the worker gave this training a GPU (CUDA_VISIBLE_DEVICES={visible}), "
                "and torch {version} can't use it: compare its CUDA {cuda} with what "
                "nvidia-smi says, or set training.device to cpu.",
                visible=visible,
                version=torch.__version__,
                cuda=torch.version.cuda,
            )
        return found, reason
    count = _count_gpus()
    there = ["cpu"]
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cuda", *(f"cuda:{i}" for i in range(count))] if count else []
    if wanted not in there:
        raise DeviceError(
            "training.device: {wanted} isn't there; this machine has {devices}. "
            "Leave it null to use the best one.",
            wanted=wanted,
            devices=list(there),
        )
    return wanted, say("asked for in training.device")


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
    quantized = (
        say("4 bits") if model.load_in_4bit else say("8 bits") if model.load_in_8bit else None
    )
    if quantized:
        _check_quantization(device, model.load_in_4bit)
    formats = choose_formats(config, device, _fast_precision(device))
    _check_precision(formats)
    kernels, kernels_reason = _kernels(config, device, quantized=quantized is not None)
    own_attention = kernels and formats.attention == "eager" and model.attn_implementation is None
    fused, optimizer_reason = _optimizer(config, device)
    liger = _liger(config, device)
    multiple = _length_multiple(config, device, formats.precision)
    return Plan(
        device=device,
        precision=formats.precision,
        weights=formats.weights,
        attention=formats.attention,
        kernels=kernels,
        own_attention=own_attention,
        fused_optimizer=fused,
        liger=liger,
        length_multiple=multiple,
        choices=(
            Choice(say("device"), device, device_reason),
            *_threads(),
            Choice(say("precision"), formats.precision, formats.reasons["precision"]),
            Choice(say("frozen weights"), quantized or formats.weights, formats.reasons["weights"]),
            Choice(say("attention"), formats.attention, formats.reasons["attention"]),
            Choice(
                say("kernels"), _kernels_in_words(kernels, own_attention, liger), kernels_reason
            ),
            Choice(
                say("optimizer"),
                say("{name}, fused", name=training.optim) if fused else training.optim,
                optimizer_reason,
            ),
            _batches(training.group_by_length, multiple),
            *_processes(config, device, place),
        ),
    )


def check_processes(processes: int, device: str, *, gpus: int) -> None:
    """Raise DeviceError when that many `processes` can't train together on `device`.

    `gpus` is the number of CUDA GPUs of this machine: each process has one of its own.
    """
    from torch import distributed

    asked = say("training.processes: {n} processes", n=processes)
    alone = say("set training.processes to 1")
    if device == "mps":
        raise DeviceError(
            "{what} can't share Apple's GPU (MPS): {advice}, or training.device to cpu.",
            what=asked,
            advice=alone,
        )
    if device.startswith("cuda:"):
        raise DeviceError(
            "{what} need a GPU each, and training.device names one ({device}): set "
            "it to cuda, or {advice}.",
            what=asked,
            device=device,
            advice=alone,
        )
    if device == "cuda" and gpus < processes:
        raise DeviceError(
            say(
                "{asked} need as many GPUs, and {gpus} can be seen here: {alone}",
                asked=asked,
                gpus=gpus,
                alone=alone,
            )
            + (say(" (or up to {gpus})", gpus=gpus) if gpus > 1 else "")
            + say(", or training.device to cpu.")
        )
    if not distributed.is_available():
        raise DeviceError(
            "{what} need a PyTorch with torch.distributed, unlike this one: {advice}.",
            what=asked,
            advice=alone,
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
        Choice(say("threads"), str(torch.get_num_threads()), found.count_reason),
        Choice(say("waiting threads"), found.waiting, found.waiting_reason),
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
    own = say("a GPU") if device != "cpu" else say_plural("{n} thread", "{n} threads", n=threads)
    return [
        Choice(
            say("processes"),
            say("{n}, each with {what} of its own", n=training.processes, what=own),
            say(
                "asked for in training.processes; {rows} rows in each are {all} at once, "
                "as in one process with that batch size",
                rows=rows,
                all=training.processes * rows,
            ),
        )
    ]


def _fast_precision(device: str) -> Chosen:
    """The precision that `auto` means on `device`."""
    import torch

    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", say("this GPU computes it at full speed")
        return "float16", say("this GPU has no fast bfloat16")
    if device == "cpu" and has_fast_bfloat16():
        return "bfloat16", say("this processor has bfloat16 instructions")
    return "float32", say("no fast bfloat16 known for this {device}", device=device)


def _check_precision(formats: Formats) -> None:
    if formats.precision == "float16" and not formats.device.startswith("cuda"):
        message = say(
            "float16 needs loss scaling, which {device} doesn't have", device=formats.device
        )
        accepted = "auto, float32, bfloat16"
        raise ConfigError([Problem("training.precision", message, "float16", accepted)])


def _kernels(config: ExperimentConfig, device: str, *, quantized: bool) -> tuple[bool, str]:
    wanted = config.training.kernels
    if wanted is not None:
        return wanted, say("asked for in training.kernels")
    if config.training.plan == "reference":
        return False, REFERENCE
    if quantized:
        return False, say("the frozen weights are quantized")
    if device == "mps":
        return False, say("never measured on Apple's GPU")
    return True, say("the same results in fewer passes over memory, while it trains")


def _kernels_in_words(kernels: bool, own_attention: bool, liger: bool) -> str:
    parts = [say("LoRA, norms, dropout")] if kernels else []
    parts += [say("attention")] if own_attention else []
    parts += [say("Liger's")] if liger else []
    return joined(parts, ", ") or say("those of PyTorch and PEFT")


def with_kernels(plan: Plan, used: Collection[str], notes: Sequence[str]) -> Plan:
    """`plan` with the line of the kernels in `used`, and with `notes` on why not others."""
    value = _kernels_in_words("LoRA layers" in used, "attention" in used, plan.liger)

    def line(choice: Choice) -> Choice:
        reasons = [choice.reason, *notes] if used else notes
        return Choice(choice.setting, value, joined(reasons, "; "))

    choices = tuple(line(c) if c.setting == "kernels" else c for c in plan.choices)
    return replace(plan, choices=choices)


def _optimizer(config: ExperimentConfig, device: str) -> tuple[bool, str]:
    """Whether AdamW runs fused, and why."""
    optim = config.training.optim
    if optim != "adamw_torch":
        return False, say("asked for in training.optim")
    if config.training.plan == "reference":
        return False, REFERENCE
    if device == "mps":
        return False, say("as PyTorch has it")
    return True, say("the same update in one pass over each weight")


def _liger(config: ExperimentConfig, device: str) -> bool:
    """Whether Liger's kernels are used: on a GPU, for chat models, where they are installed."""
    wanted = config.training.use_liger_kernel
    if wanted is not None:
        return wanted
    return (
        config.training.plan != "reference"
        and device.startswith("cuda")
        and TASKS[config.task_name].writes_text
        and importlib.util.find_spec("liger_kernel") is not None
    )


def _length_multiple(config: ExperimentConfig, device: str, precision: str) -> int:
    """Tokens of which the length of a batch is a multiple.

    On a CPU oneDNN compiles its products in bfloat16 for each new length, some 40 of them in 13 ms.
    Batches of chats are packed, and computed so long that this doesn't matter.
    """
    compiled = device == "cpu" and precision == "bfloat16"
    if not compiled or TASKS[config.task_name].writes_text:
        return 1
    return 1 if config.training.plan == "reference" else 4


def _batches(by_length: bool, multiple: int) -> Choice:
    value = say("by length") if by_length else say("shuffled")
    reason = say("short texts cost little") if by_length else say("training.group_by_length is off")
    if multiple == 1:
        return Choice(say("batches"), say("{value}, padded to the longest", value=value), reason)
    return Choice(
        say("batches"),
        say("{value}, padded to a multiple of {multiple} tokens", value=value, multiple=multiple),
        say("{reason}; each length more needs products compiled for it", reason=reason),
    )


def _check_quantization(device: str, four_bits: bool) -> None:
    field = "model.load_in_4bit" if four_bits else "model.load_in_8bit"
    missing = []
    if not device.startswith("cuda"):
        missing.append(say("a CUDA GPU (this training runs on {device})", device=device))
    if importlib.util.find_spec("bitsandbytes") is None:
        missing.append(say("bitsandbytes (pip install 'tunesmith[quantization]')"))
    if missing:
        message = say("needs {what}; set it to false here", what=joined(missing, " and "))
        raise ConfigError([Problem(field, message, True)])
