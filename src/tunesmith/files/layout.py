"""The names of what lies in an experiment's folder."""

from __future__ import annotations

LOG = "logs.txt"

ABOUT = "about.json"
"""What people call and say of an experiment since they changed it.

A file of its own, because what trains writes the record, from what it knew a moment ago.
"""

PREDICTIONS = "artifacts/predictions.jsonl"

ADAPTER = "artifacts/final_model"

WEIGHTS = "adapter_model.safetensors"
"""The weights in ADAPTER and in checkpoints; PEFT's own name."""

LAST_OF_CHECKPOINT = "progress.json"
"""The file that makes a checkpoint whole: it is written, and must be copied, after all others."""

DAMAGED = ".damaged"
"""How the hidden name of a checkpoint ends that training didn't go on from."""
