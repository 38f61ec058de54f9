"""What a model's own code can't do, in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import ModelError, TunesmithError
from tunesmith.training.conversion import first_line
from tunesmith.training.halving import is_out_of_memory

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
                f"model.name: {name} can't be trained: its output doesn't depend on any "
                "trainable weight. Choose other layers in lora.target_modules, or another model."
            ) from error
        if where is None or is_out_of_memory(error):
            raise
        raise ModelError(
            f"model.name: {name} can't be trained on these rows: its own code in transformers "
            f"({where}) failed with {type(error).__name__}: {first_line(error)}. Choose another "
            "model, or another version of transformers."
        ) from error


def _in_model(error: Exception) -> str | None:
    """The file and line of a model's code that `error` came out of; None where it is ours."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(part in frame.filename for part in _OF_MODELS):
            return f"{Path(frame.filename).name}, line {frame.lineno}"
        if Path(frame.filename).is_relative_to(_OURS):
            return None
    return None
