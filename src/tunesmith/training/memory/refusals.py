"""What memory, or a model's own code, can't do, in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import ModelError, TrainingError, TunesmithError, first_line
from tunesmith.messages import say
from tunesmith.training.memory.halving import is_out_of_memory
from tunesmith.training.plan import Plan

_OF_MODELS = ("transformers/models/", "transformers_modules/", "transformers/modeling_layers.py")
_OURS = Path(__file__).parents[1]


@contextmanager
def models_own_errors(name: str) -> Iterator[None]:
    """Raise ModelError for what the code of the model called `name` raises within this.

    Errors of other code go on as they are, and so do those of memory. Ours is other code too, even
    where a model called it: our attention and our LoRA layers stand in for its own.
    """
    try:
        yield
    except TunesmithError:
        raise
    except Exception as error:
        where = _in_model(error)
        if "does not require grad" in str(error):
            raise ModelError(
                "model.name: {name} can't be trained: its output doesn't depend on any "
                "trainable weight. Choose other layers in lora.target_modules, or "
                "another model.",
                name=name,
            ) from error
        if where is None or is_out_of_memory(error):
            raise
        raise ModelError(
            "model.name: {name} can't be trained on these rows: its own code in "
            "transformers ({where}) failed with {kind}: {error}. Choose another "
            "model, or another version of transformers.",
            name=name,
            where=where,
            kind=type(error).__name__,
            error=first_line(error),
        ) from error


def _in_model(error: Exception) -> str | None:
    """The file and line of a model's code that `error` came out of; None where it is ours."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(part in frame.filename for part in _OF_MODELS):
            return say("{file}, line {line}", file=Path(frame.filename).name, line=frame.lineno)
        if Path(frame.filename).is_relative_to(_OURS):
            return None
    return None


def out_of_memory(plan: Plan, error: BaseException) -> TrainingError:
    """The same in words that say what to do."""
    kind = type(error).__name__
    return TrainingError(
        "the memory of {device} was not enough ({error}). Lower "
        "training.per_device_train_batch_size (and raise "
        "gradient_accumulation_steps by as much), lower data.max_length, or set "
        "training.gradient_checkpointing.",
        device=plan.device,
        error=first_line(error) or kind,
    )
