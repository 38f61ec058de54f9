"""What others read beside a model's weights: its tokenizer, chat template and generation settings.

With them, whoever asks the model by its messages alone asks as it was trained, and gets the answers
that it was judged by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.tasks.base import Task

GENERATION = "generation_config.json"


@contextmanager
def framed(task: Task, tokenizer: Any) -> Iterator[None]:
    """Within this, the tokenizer's chat template carries what the task puts around a chat."""
    framing = task.framing()
    if framing is None:
        yield
        return
    own = tokenizer.chat_template
    tokenizer.chat_template = framing.into(tokenizer.get_chat_template())
    try:
        yield
    finally:
        tokenizer.chat_template = own


def write_settings(folder: Path, task: Task, tokenizer: Any) -> None:
    """Write into `folder` how transformers and vLLM generate what the task was judged by.

    Nothing where it writes no text. Raises OSError when it can't be written.
    """
    settings = task.generation_settings(tokenizer)
    if settings is None:
        return
    # vLLM reads no `do_sample`: it takes the likeliest token where the temperature is zero.
    values = {**settings.to_diff_dict(), "do_sample": False, "temperature": 0.0}
    (folder / GENERATION).write_text(
        json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
