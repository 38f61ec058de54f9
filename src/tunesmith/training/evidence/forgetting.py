"""What a model that writes text forgot: general texts, chats and questions, before and after.

The set is in `general/`, a file a language. A question is four sentences of which one is true; the
model's answer is the end that it finds likeliest by its characters (`acc_norm` of EleutherAI's
lm-evaluation-harness), so that small models, which don't know what (A) means, can answer, too.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional

from tunesmith.errors import Interrupted
from tunesmith.files.writing import mark_as_used, written_whole
from tunesmith.messages import say
from tunesmith.models.adapter import with_weights
from tunesmith.models.architectures import positions
from tunesmith.statistics.forgetting import General, compared
from tunesmith.tasks.base import Example
from tunesmith.tasks.chats.encoding import encode_turns
from tunesmith.tasks.chats.messages import as_base_model, common_length, head_only_at
from tunesmith.tasks.chats.task import ChatTask
from tunesmith.tasks.parts.columns import IGNORED, at_least_float32, pad
from tunesmith.training.evidence.evaluation import autocast, in_batches
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.reporting.reporter import Phase
from tunesmith.training.stages import Fitted

PASSAGE = 32
"""Tokens of a passage that are read: many short ones say more than few long ones in that time."""
LONGEST = 512
"""Tokens of any other text at most."""
LOGITS_AT_ONCE = 2**25
"""Numbers that the head gives for one batch: 134 MB in float32, and some copies of them."""
KEPT = "general"
"""Folder in the cache: what base models made of the set."""


@dataclass(frozen=True)
class GeneralSet:
    """The set as a model's tokens; `labels` are the tokens that count."""

    text: list[Example]
    chat: list[Example]
    questions: list[Example]
    """Four for each question, one after the other, the right one first."""
    characters: list[int]
    """Of the end that each of these has."""


def forgetting(
    work: Fitted, model: Any, judge: Judge, untrained: Mapping[str, Any]
) -> dict[str, Any] | None:
    """How much of what `model` could do with its `untrained` weights it still does.

    None where it isn't asked for, and for tasks whose model writes no text: a classifier has
    nothing beside its labels. Raises Interrupted when the reporter says so.
    """
    task = work.task
    if not (work.config.training.forgetting and isinstance(task, ChatTask)):
        return None
    work.reporter.phase(Phase.EVALUATING, say("what it still knows beside its task"))
    limits = positions(model.config.get_text_config(decoder=True).to_dict())
    most = min([LONGEST, *(limit for limit in limits if isinstance(limit, int))])
    asked = _encoded(task, work.tokenizer, most)
    after = _answers(work, model, judge, asked)
    kept = _kept(work, asked)
    before = None if kept is None else _read(kept)
    if before is None:
        with _as_it_began(work, model, untrained):
            before = _answers(work, model, judge, asked)
        if kept is not None:
            with suppress(OSError):  # a cache that can't be written costs time, and nothing else
                _write(kept, before)
    return compared(before, after)


@contextmanager
def _as_it_began(work: Fitted, model: Any, untrained: Mapping[str, Any]) -> Iterator[None]:
    """Within this, `model` is the base model: that begins changed where LoRA begins at random."""
    with with_weights(model, untrained):
        if work.config.lora.init_lora_weights is not False:
            yield
            return
        with as_base_model(model):
            yield


# -- the set ------------------------------------------------------------------------------------


@cache
def _general() -> dict[str, list[Any]]:
    """Passages, chats and questions of all languages."""
    found: dict[str, list[Any]] = {}
    for file in sorted((Path(__file__).parent / "general").glob("*.toml")):
        for part, rows in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found.setdefault(part, []).extend(rows)
    return found


def _encoded(task: ChatTask, tokenizer: Any, most: int) -> GeneralSet:
    """The set in the model's tokens and its own chat format, each text of at most `most`."""
    general = _general()
    ids = tokenizer(general["passages"])["input_ids"]
    text = [_example(row[: min(PASSAGE, most)], 1) for row in ids]
    roles = ("user", "assistant")
    chats = [[{"role": r, "content": chat[r]} for r in roles] for chat in general["chats"]]
    turns = task.format(tokenizer).answers(chats)
    chat = [encode_turns(each, most)[-1] for each in turns]
    questions, characters = [], []
    for question in general["questions"]:
        # Chinese has no space before the end of a sentence.
        space = " " if question["begin"][-1].isascii() else ""
        sentences = [f"{question['begin']}{space}{end}" for end in question["ends"]]
        four = [row[:most] for row in tokenizer(sentences)["input_ids"]]
        same = max(1, min(common_length(four[0], other) for other in four[1:]))
        questions += [_example(row, same) for row in four]
        characters += [len(end) for end in question["ends"]]
    return GeneralSet(
        [e for e in text if e["targets"]], [e for e in chat if e["targets"]], questions, characters
    )


def _example(ids: Sequence[int], start: int) -> Example:
    """A text whose tokens count from `start` on."""
    labels = [IGNORED] * start + list(ids[start:])
    targets = max(0, len(ids) - start)
    return {"input_ids": list(ids), "labels": labels[: len(ids)], "targets": targets}


# -- the answers --------------------------------------------------------------------------------


def _answers(work: Fitted, model: Any, judge: Judge, asked: GeneralSet) -> General:
    losses = {
        part: _losses(work, model, judge, getattr(asked, part))
        for part in ("text", "chat", "questions")
    }
    by_character = [
        loss / count for loss, count in zip(losses["questions"], asked.characters, strict=True)
    ]
    fours = [by_character[start : start + 4] for start in range(0, len(by_character), 4)]
    means = {
        part: [
            loss / example["targets"]
            for loss, example in zip(losses[part], getattr(asked, part), strict=True)
        ]
        for part in ("text", "chat")
    }
    # A model that knows none of the words finds all as likely: it doesn't know the answer.
    right = [four[0] < min(four[1:]) for four in fours]
    return General(means["text"], means["chat"], right)


def _losses(work: Fitted, model: Any, judge: Judge, examples: Sequence[Example]) -> list[float]:
    """The loss of each example in nats, its tokens that count together; in few rows at once."""
    if not examples:
        return []
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    targets = max(1, *(example["targets"] for example in examples))
    fitting = max(1, LOGITS_AT_ONCE // (vocabulary * targets))

    def ask(batch: list[Example]) -> list[float]:
        if work.reporter.should_stop():
            raise Interrupted("stopped during evaluation")
        return _of_batch(model, batch, work.tokenizer.pad_token_id)

    def asked(rows: int) -> list[float]:
        training = model.training
        model.eval()
        try:
            with torch.inference_mode(), autocast(work.plan):
                return in_batches(examples, min(rows, fitting), ask)
        finally:
            model.train(training)

    return judge.fitting(asked)


def _of_batch(model: Any, batch: Sequence[Example], pad_token_id: int) -> list[float]:
    device = next(model.parameters()).device
    padded = pad(batch, {"input_ids": pad_token_id, "labels": IGNORED})
    tensors = {name: tensor.to(device) for name, tensor in padded.items()}
    targets = tensors.pop("labels")[:, 1:]
    wanted = targets != IGNORED
    with head_only_at(model, functional.pad(wanted, (0, 1))):
        logits = model(**tensors, use_cache=False).logits
    losses = logits.new_zeros(wanted.shape, dtype=torch.float32)
    losses[wanted] = functional.cross_entropy(
        at_least_float32(logits), targets[wanted], reduction="none"
    ).float()
    found: list[float] = losses.sum(dim=1).tolist()
    return found


# -- what is kept of base models ------------------------------------------------------------------


def _kept(work: Fitted, asked: GeneralSet) -> Path | None:
    """Where this base model's answers are kept, by all they depend on; None: nowhere."""
    if work.cache is None:
        return None
    described = {
        "model": work.source.identity,
        "set": asdict(asked),
        "formats": asdict(work.plan.formats),
        "versions": [torch.__version__, transformers.__version__],
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=list).encode())
    return work.cache / KEPT / f"{digest.hexdigest()[:32]}.json"


def _write(file: Path, found: General) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial:
        partial.write_text(json.dumps(asdict(found)), encoding="utf-8")


def _read(file: Path) -> General | None:
    """What is in `file`; None where nothing is, or not what belongs there."""
    with suppress(OSError, ValueError, TypeError):
        found = General(**json.loads(file.read_text(encoding="utf-8")))
        mark_as_used(file)
        return found
    return None
