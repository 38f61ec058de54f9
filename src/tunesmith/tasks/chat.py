"""Conversations: reading them, writing them in a model's chat format, finding the answers in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunesmith.errors import DataError, ModelError

if TYPE_CHECKING:
    import torch

ROLES = ("system", "user", "assistant", "tool")

Message = dict[str, str]
"""One turn: `role` and `content`."""


def parse_messages(value: Any, where: str) -> list[Message]:
    """The conversation in `value`, a list of {role, content} or the same as JSON text.

    ShareGPT's names (from, value, human, gpt) are understood. Raises DataError, naming `where`,
    when it is none, or ends without an answer.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not a list of messages: {error}") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: must be a list of {{role, content}}, and holds none.")
    turns: list[Message] = []
    for turn in value:
        role = (turn.get("role") or turn.get("from")) if isinstance(turn, Mapping) else None
        role = {"human": "user", "gpt": "assistant"}.get(str(role), role)
        content = (turn.get("content") or turn.get("value")) if isinstance(turn, Mapping) else None
        if role not in ROLES or not isinstance(content, str):
            raise DataError(
                f"{where}: each message needs a role ({', '.join(ROLES)}) and a text as "
                f"content; got {str(turn)[:80]}"
            )
        turns.append({"role": str(role), "content": content})
    if turns[-1]["role"] != "assistant":
        raise DataError(f"{where}: ends with {turns[-1]['role']}; there is no answer to learn.")
    return turns


def render(turns: list[Message], tokenizer: Any) -> tuple[str, list[tuple[int, int]]]:
    """The conversation in the model's chat format, and where in it the answers stand.

    An answer's span begins after the model's own opening of the turn and ends with its closing
    token, which is learned too, so that generation stops.
    """
    from jinja2 import TemplateError

    def text_of(count: int, *, opened: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                turns[:count], tokenize=False, add_generation_prompt=opened
            )
        )

    try:
        text = text_of(len(turns), opened=False)
        spans = []
        for number, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            before, after = text_of(number, opened=True), text_of(number + 1, opened=False)
            if text.startswith(before) and text.startswith(after):
                spans.append((len(before), len(after.rstrip("\n"))))
    except TemplateError as error:
        raise ModelError(f"the model's chat template refuses a conversation: {error}") from error
    if not spans or spans[-1][1] != len(text.rstrip("\n")):
        raise ModelError(
            "the model's chat template rewrites earlier turns, so the answers can't be told "
            "from the rest; give conversations of one question and one answer."
        )
    return text, spans


@contextmanager
def head_only_at(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """Make the language-model head see only `positions` (rows, tokens), as (positions, vocabulary).

    A hook on the head, so that whatever the architecture does to its logits (scaling, soft caps)
    still happens.
    """
    head = model.get_output_embeddings()

    def select(_: Any, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0][positions]

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
