"""How the machine runs a training, and why."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "device",
    "precision",
    "frozen weights",
    "attention",
    "batches",
    "processes",
    "4 bits",
    "8 bits",
    "by length, padded to the longest",
    "shuffled, padded to the longest",
    "{n}, each with {what} of its own",
    "a GPU",
    "{n} thread{s}",
    "found {name}",
    "found Apple's GPU (MPS)",
    "no CUDA and no MPS device here",
    "asked for in training.device",
    "asked for in training.precision",
    "asked for in model.attn_implementation",
    "asked for in training.processes; {rows} rows in each are {all} at once, as in one "
    "process with that batch size",
    "short texts cost little",
    "training.group_by_length is off",
    "this GPU computes it at full speed",
    "this GPU has no fast bfloat16",
    "this processor has bfloat16 instructions",
    "no fast bfloat16 known for this {device}",
    "as the products are",
    "float16 products are computed from them by autocast",
    "layers of the base model itself train too",
    "they never change, and need no cast at every step",
    "faster than fused attention for short texts on CPU",
    "PyTorch's fused attention, where the model has it",
)
