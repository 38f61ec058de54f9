"""What became of each task with each family: equal to plain transformers and PEFT, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tests.architectures.asking import asked_otherwise
from tests.architectures.families import HEADS, NOT_COVERED, WORDS, tiny_config, tiny_model
from tests.architectures.learning import LABELS, differences, ours, plain

from tunesmith.errors import TunesmithError
from tunesmith.models.inspect import inspect_model
from tunesmith.models.layers import find_layers

TASKS = {
    "text-classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "sft": "AutoModelForCausalLM",
    "dpo": "AutoModelForCausalLM",
}
"""Task → the class that loads its model."""
REFUSED: dict[tuple[str, str], str] = {
    ("bros", ""): "You have to specify bbox",
    ("prophetnet", ""): "doesn't read one hidden state for each token",
    ("blt", "sft"): "transformers' generation failed",
    ("xlstm", "sft"): "transformers' generation failed",
    ("reformer", "sft"): "doesn't depend on any trainable weight",
    ("reformer", "dpo"): "doesn't depend on any trainable weight",
    ("ibert", ""): "no linear layer to put an adapter on",
}
"""Family and task (none: all of them) → what the sentence says that refuses it."""
RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Outcome:
    """What became of one task with one family."""

    what: str
    """`equal`, `refused`, `not covered`; `differs` or `fails` where something is to be mended."""
    sentence: str = ""
    """Why it was refused or isn't covered, or what differs."""
    how: str = ""
    """What our attention is given in an equal one, `packed` or `padded`; empty: the model's own."""


def tasks_of(family: str) -> list[str]:
    """The tasks that transformers has a head of `family` for."""
    return [task for task, head in TASKS.items() if family in HEADS[head]]


def check(family: str, task: str, folder: Path) -> Outcome:
    """What became of `task` with a tiny model of `family`, and of what its files say of it.

    A refusal counts where it is one of `REFUSED`; whatever else is raised fails.
    """
    try:
        found = outcome(family, task, folder)
        if found.what == "equal" and (wrong := facts_hold(family, task, folder)):
            return Outcome("fails", wrong)
    except Exception as error:  # noqa: BLE001 - it is the outcome
        return Outcome("fails", f"{type(error).__name__}: {error}")
    wanted = REFUSED.get((family, task)) or REFUSED.get((family, ""))
    if found.what == "refused" and (wanted is None or wanted not in found.sentence):
        return Outcome("fails", found.sentence)
    return found


def outcome(family: str, task: str, folder: Path) -> Outcome:
    """Train a tiny model of `family` on `task` for a few steps, both ways, and ask its adapter."""
    if reason := NOT_COVERED.get(family):
        return Outcome("not covered", reason)
    head = TASKS[task]
    labels = (
        {"num_labels": 1 if task == "regression" else LABELS} if task not in ("sft", "dpo") else {}
    )
    model = tiny_model(family, head, **labels)
    model.save_pretrained(folder)
    whole = tiny_config(family)
    if type(whole) is not type(model.config):  # the hub's folders hold that of the whole family
        whole.save_pretrained(folder)
    end = 2 if model.config.is_encoder_decoder else None  # their tokenizers end texts with it
    try:
        begun, steps, how = ours(folder, task, end=end)
        if task != "dpo" and (found := asked_otherwise(folder, task, begun)):
            return Outcome("fails", found)
    except TunesmithError as error:
        return Outcome("refused", str(error))
    last = getattr(getattr(model, "sequence_summary", None), "summary_type", None) == "last"
    expected = plain(begun, task, end=end, left=last)
    if found := differences(steps, expected):
        return Outcome("differs", found)
    return Outcome("equal", how=how)


def facts_hold(family: str, task: str, folder: Path) -> str:
    """What is said of the model's files before it is loaded and isn't so; empty where all is."""
    model = tiny_model(family, TASKS[task])
    facts = inspect_model(folder)
    said = facts.target_modules
    if said is not None and said != find_layers(model):
        return f"layers said to be {said}, and are {find_layers(model)}"
    if bool(model._supports_sdpa) != facts.fuses_attention:
        return f"said to take fused attention: {facts.fuses_attention}"
    if facts.max_length is not None:
        ids = torch.randint(8, WORDS, (1, facts.max_length))
        ids[0, -1] = 2
        with torch.no_grad():
            cache = {"use_cache": False} if task in ("sft", "dpo") else {}
            model(input_ids=ids, attention_mask=torch.ones_like(ids), **cache)
    return ""


def write(results: Mapping[str, Mapping[str, Outcome]], file: Path) -> None:
    """Write the outcomes of families' tasks into `file`, as JSON."""
    plain: dict[str, dict[str, Any]] = {
        family: {task: asdict(found) for task, found in tasks.items()}
        for family, tasks in results.items()
    }
    file.write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, dict[str, Outcome]]:
    """The outcomes that `write` wrote."""
    plain = json.loads(file.read_text(encoding="utf-8"))
    return {
        family: {task: Outcome(**found) for task, found in tasks.items()}
        for family, tasks in plain.items()
    }
