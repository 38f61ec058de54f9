"""Conversations as data hold them: reading them, what is wrong with them; and their models."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from tunesmith.errors import DataError, ModelError, nearest
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch

ROLES = ("system", "user", "assistant", "tool")

Message = dict[str, str]
"""One turn: `role` and `content`."""


CHAT_RULES = ("wrong_roles", "non_text_turns", "empty_turns", "missing_answers", "wrong_order")
"""The rules that `chat_faults` names."""

_IS_JSON = re.compile(r'\s*\[\s*\{\s*"(role|content|from|value)"\s*:')
"""How a list of turns begins as JSON text."""
_SHAREGPT = {"human": "user", "gpt": "assistant"}


def parse_messages(value: Any, where: str) -> list[Message]:
    """The conversation in `value`, a list of {role, content} or the same as JSON text.

    ShareGPT's names (from, value, human, gpt) are understood. Raises DataError, naming `where`,
    when it is none, or ends without an answer.
    """
    for rule, advice in chat_faults(value):
        if rule in ("wrong_roles", "non_text_turns", "missing_answers"):
            raise DataError(f"{where}: {advice}")
    return [{"role": str(role), "content": str(content)} for role, content in _turns(value) or ()]


def chat_faults(value: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a conversation, as (rule, advice), each rule once at most."""
    turns = _turns(value)
    if turns is None:
        yield "non_text_turns", f"must be a list of {{role, content}}; got {str(value)[:80]}"
        return
    if not turns:
        yield "missing_answers", "must be a list of {role, content}, and holds none"
        return
    roles = [role for role, _ in turns]
    strange = [role for role in roles if role not in ROLES]
    if strange:
        likely = nearest(str(strange[0]), (*ROLES, *_SHAREGPT))
        hint = f"; did you mean {likely}?" if likely else ""
        yield "wrong_roles", f"{strange[0]!r} is no role; use {', '.join(ROLES)}{hint}"
    spoken = [number for number, (_, said) in enumerate(turns, 1) if not isinstance(said, str)]
    if spoken:
        yield "non_text_turns", f"turn {spoken[0]} needs a text as content"
    empty = [
        n for n, (_, said) in enumerate(turns, 1) if isinstance(said, str) and not said.strip()
    ]
    if [number for number in empty if number < len(turns)]:
        yield "empty_turns", f"turn {empty[0]} is empty: write it, or remove it"
    if roles[-1] in ROLES and roles[-1] != "assistant":
        yield "missing_answers", f"ends with {roles[-1]}; there is no answer to learn"
    elif len(turns) in empty:
        yield "missing_answers", "the last answer is empty: write it, or remove the row"
    if not strange and (wrong := _wrong_order([str(role) for role in roles])):
        yield "wrong_order", wrong


def as_turns(value: Any, role: str) -> list[dict[str, Any]]:
    """The turns in `value` as {role, content}, unchecked.

    `value` is a list of turns, the same as JSON text, a single turn, or what `role` says.
    """
    if isinstance(value, Mapping):
        value = [value]
    is_turns = isinstance(value, list) or (isinstance(value, str) and bool(_IS_JSON.match(value)))
    turns = _turns(value) if is_turns else None
    if turns is None:
        return [{"role": role, "content": value if isinstance(value, list) else canonical(value)}]
    return [{"role": said_by, "content": content} for said_by, content in turns]


def plain_turns(value: Any, where: str) -> list[Message]:
    """The turns in `value`, a list of turns or a single one, as texts.

    Raises DataError, naming `where`, when a turn has no text.
    """
    turns = as_turns(value, "assistant")
    if not all(isinstance(turn["content"], str) for turn in turns):
        raise DataError(f"{where}: every turn needs a text as content; got {str(value)[:80]}")
    return [{"role": str(turn["role"]), "content": turn["content"]} for turn in turns]


def common_turns(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """What two conversations begin with, and what is left of each; nothing is in common of some.

    Of two texts without turns, the words that both begin with are what the user said.
    """
    most = min(len(one), len(other)) - 1
    same = next((n for n in range(max(most, 0)) if one[n] != other[n]), most)
    if most > 0:
        return one[:same], one[same:], other[same:]
    texts = [turns[0]["content"] for turns in (one, other) if turns]
    if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return [], one, other
    begin = _common_words(*texts)
    if not begin.strip():
        return [], one, other
    left = [[{"role": "assistant", "content": text[len(begin) :]}] for text in texts]
    return [{"role": "user", "content": begin.strip()}], left[0], left[1]


def _common_words(one: str, other: str) -> str:
    """The words that both texts begin with, and the space after them."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
    spaces = [n for n in range(same) if one[n].isspace()]
    return one[: spaces[-1] + 1] if spaces else ""


def _turns(value: Any) -> list[tuple[Any, Any]] | None:
    """Role and content of each turn, whatever they are; None where there is no list of turns."""
    if isinstance(value, str):
        try:
            value = from_json(value)
        except ValueError:  # also nested without end, or with half of a character
            return None
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    turns: list[tuple[Any, Any]] = []
    for turn in value:
        if not isinstance(turn, Mapping):
            return None
        role = turn.get("role") or turn.get("from")
        content = turn["content"] if turn.get("content") is not None else turn.get("value")
        turns.append((_SHAREGPT.get(str(role), role), content))
    return turns


def _wrong_order(roles: Sequence[str]) -> str | None:
    """What is wrong with the order in which the roles speak."""
    for number, role in enumerate(roles[1:], 2):
        if role == "system":
            return f"turn {number} is of the system, which speaks first or not at all"
        if role == roles[number - 2] and role != "tool":
            return f"turns {number - 1} and {number} are both of the {role}; join them"
    spoken = [role for role in roles if role != "system"]
    if spoken and spoken[0] != "user":
        return f"begins with the {spoken[0]}; the user asks first"
    return None


def parse_question(value: Any, where: str) -> list[Message]:
    """The conversation in `value` up to the answer that is wanted, as `parse_messages` reads it.

    Raises DataError, naming `where`, when it is none, or its last turn is an answer already.
    """
    for rule, advice in chat_faults(value):
        if rule in ("wrong_roles", "non_text_turns"):
            raise DataError(f"{where}: {advice}")
    turns = [{"role": str(role), "content": str(content)} for role, content in _turns(value) or ()]
    if not turns or turns[-1]["role"] in ("assistant", "system"):
        said = f"ends with the {turns[-1]['role']}" if turns else "holds no turn"
        raise DataError(f"{where}: {said}; end with what the user asks.")
    if not turns[-1]["content"].strip():
        raise DataError(f"{where}: the last turn is empty.")
    return turns


@contextmanager
def as_base_model(model: Any) -> Iterator[None]:
    """Within this, `model` computes as it does without its adapter, and doesn't train."""
    training = model.training
    model.eval()
    try:
        if not hasattr(model, "disable_adapter"):  # it has none
            yield
            return
        with warnings.catch_warnings():
            # Biases that were trained stay; PEFT says so each time.
            warnings.filterwarnings("ignore", message="Careful, disabling adapter layers")
            with model.disable_adapter():
                yield
    finally:
        model.train(training)


@contextmanager
def head_only_at(
    model: Any, positions: torch.Tensor | tuple[torch.Tensor, torch.Tensor]
) -> Iterator[None]:
    """Make the language-model head see only `positions` (rows, tokens), as (positions, vocabulary).

    They are a mask of all tokens, or numbers of rows and tokens.

    A hook on the head, so that whatever the architecture does to its logits (scaling, soft caps)
    still happens.
    """
    head = model.get_output_embeddings()

    def select(_: Any, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if inputs[0].dim() != 3:
            raise ModelError(
                "the base model's head doesn't read one hidden state for each token, so it can't "
                "be trained on chats: choose another model as model.name."
            )
        return inputs[0][positions]

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
