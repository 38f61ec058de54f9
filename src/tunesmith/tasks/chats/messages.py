"""Conversations as data hold them: reading them, what is wrong with them; and their models."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from tunesmith.errors import DataError, ModelError, nearest
from tunesmith.messages import say
from tunesmith.tasks.chats.tools import Tool, as_json, parse_calls, parse_tools, without_nulls
from tunesmith.values import canonical

if TYPE_CHECKING:
    import torch

ROLES = ("system", "user", "assistant", "tool")

Message = dict[str, Any]
"""One turn: `role`, `content` (a text) and, where it has them, the keys of `PARTS`; and `weight` 0
where it is an answer that is read and not learned."""

PARTS = ("tools", "tool_calls", "tool_call_id", "name")
"""What a turn may have beside role and content: the tools that the conversation may call, at its
first turn; the calls of an answer; which call a tool answers; who speaks."""

CHAT_RULES = (
    "wrong_roles", "non_text_turns", "empty_turns", "missing_answers", "wrong_order", "wrong_tools"
)  # fmt: skip
"""The rules that `chat_faults` names."""

_IS_JSON = re.compile(r'\s*\[\s*\{\s*"(role|content|from|value)"\s*:')
"""How a list of turns begins as JSON text."""
_SHAREGPT = {"human": "user", "gpt": "assistant"}
_CALLING = ("function_call", "tool_call")
"""Roles of the turns that are a call, in data for LLaMA-Factory and ms-swift: its JSON text."""
_OBSERVING = ("observation", "function", "tool_response", "function_response", "ipython")
"""Roles that tools have elsewhere."""


def parse_messages(value: Any, where: str) -> list[Message]:
    """The conversation in `value`, a list of {role, content} or the same as JSON text.

    ShareGPT's names (from, value, human, gpt) are understood. It ends with the last answer that is
    learned. Raises DataError, naming `where`, when it is none, or ends without an answer.
    """
    refused = ("wrong_roles", "non_text_turns", "missing_answers", "wrong_tools")
    turns = _parsed(value, where, refused)
    return turns[: answers_in(turns)[-1] + 1] if _has_weights(turns) else turns


def _parsed(value: Any, where: str, refused: Sequence[str]) -> list[Message]:
    """The turns in `value`. Raises DataError where it breaks one of the rules `refused`."""
    for rule, advice in chat_faults(value):
        if rule in refused:
            raise DataError("{where}: {advice}", where=where, advice=advice)
    return _turns(value) or []


def chat_faults(value: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a conversation, as (rule, advice), each rule once at most."""
    turns = _turns(value)
    if turns is None:
        advice = say("must be a list of {{role, content}}; got {value}", value=str(value)[:80])
        yield "non_text_turns", advice
        return
    if not turns:
        yield "missing_answers", say("must be a list of {{role, content}}, and holds none")
        return
    roles = [turn["role"] for turn in turns]
    strange = [role for role in roles if role not in ROLES]
    if strange:
        likely = nearest(str(strange[0]), (*ROLES, *_SHAREGPT))
        hint = say("; did you mean {name}?", name=likely) if likely else ""
        role, roles_known = repr(strange[0]), list(ROLES)
        yield (
            "wrong_roles",
            say("{role} is no role; use {roles}{hint}", role=role, roles=roles_known, hint=hint),
        )
    calling = [(turn, number) for number, turn in enumerate(turns, 1) if len(turn) > 2]
    if wrong := next(filter(None, starmap(_wrong_tools, calling)), None):
        yield "wrong_tools", wrong
    spoken = [n for n, turn in enumerate(turns, 1) if not isinstance(turn["content"], str)]
    if spoken:
        yield "non_text_turns", say("turn {n} needs a text as content", n=spoken[0])
    empty = [n for n, turn in enumerate(turns, 1) if says_nothing(turn)]
    if [number for number in empty if number < len(turns)]:
        yield "empty_turns", say("turn {n} is empty: write it, or remove it", n=empty[0])
    if roles[-1] in ROLES and roles[-1] != "assistant":
        yield (
            "missing_answers",
            say("ends with {role}; there is no answer to learn", role=roles[-1]),
        )
    elif len(turns) in empty:
        yield "missing_answers", say("the last answer is empty: write it, or remove the row")
    elif _has_weights(turns) and not answers_in(turns):
        yield "missing_answers", say("every answer has the weight 0: none is to be learned")
    elif roles == ["assistant"]:
        yield "missing_answers", say("the answer answers nothing: put what is asked before it")
    if not strange and (wrong := _wrong_order([str(role) for role in roles])):
        yield "wrong_order", wrong


def answers_in(turns: Sequence[Message]) -> list[int]:
    """Where in `turns` the answers to learn are; what nobody asked for, as a greeting, is none."""
    return [
        n
        for n, turn in enumerate(turns)
        if n and turn["role"] == "assistant" and turn.get("weight") != 0
    ]


def _has_weights(turns: Sequence[Message]) -> bool:
    return any("weight" in turn for turn in turns)


def says_nothing(turn: Message) -> bool:
    """Whether a turn has neither text nor calls; what a tool gives may be nothing."""
    said = turn["content"]
    if not isinstance(said, str) or said.strip():
        return False
    return turn["role"] != "tool" and not turn.get("tool_calls")


def with_tools(turns: list[Message], tools: list[Tool]) -> list[Message]:
    """`turns` as a conversation that may call `tools`."""
    return [{**turns[0], "tools": tools}, *turns[1:]] if tools and turns else turns


def tools_of(turns: Iterable[Message]) -> list[Tool]:
    """The tools that a conversation may call."""
    return next((turn["tools"] for turn in turns if turn.get("tools")), [])


def as_columns(turns: Sequence[Message]) -> list[dict[str, str | None]]:
    """Turns as a column of the data holds them: tools and calls as JSON text."""
    return [
        {
            name: part if part is None or isinstance(part, str) else as_json(part)
            for name in ("role", "content", *PARTS, "weight")
            for part in [turn.get(name)]
        }
        for turn in turns
    ]


def as_turns(value: Any, role: str) -> list[Message]:
    """The turns in `value` as {role, content}, unchecked.

    `value` is a list of turns, the same as JSON text, a single turn, or what `role` says.
    """
    if isinstance(value, Mapping):
        value = [value]
    is_turns = isinstance(value, list) or (isinstance(value, str) and bool(_IS_JSON.match(value)))
    turns = _turns(value) if is_turns else None
    if turns is None:
        return [{"role": role, "content": value if isinstance(value, list) else canonical(value)}]
    for turn in turns:
        turn.pop("weight", None)  # which of them is learned, the task says
    return turns


def plain_turns(value: Any, where: str) -> list[Message]:
    """The turns in `value`, a list of turns or a single one, as texts.

    Raises DataError, naming `where`, when a turn has no text.
    """
    turns = as_turns(value, "assistant")
    if not all(isinstance(turn["content"], str) for turn in turns):
        raise DataError(
            "{where}: every turn needs a text as content; got {value}",
            where=where,
            value=str(value)[:80],
        )
    return turns


def common_turns(
    one: list[Message], other: list[Message]
) -> tuple[list[Message], list[Message], list[Message]]:
    """What two conversations begin with, and what is left of each; nothing is in common of some.

    Of two texts without turns, the words that both begin with are what the user said.
    """
    most = min(len(one), len(other)) - 1
    if most > 0:
        same = common_length(one[:most], other)
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
    spaces = [n for n in range(common_length(one, other)) if one[n].isspace()]
    return one[: spaces[-1] + 1] if spaces else ""


def common_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many characters, tokens or turns both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _turns(value: Any) -> list[Message] | None:
    """The turns in `value`, unchecked; None where there is no list of turns."""
    if isinstance(value, str):
        try:
            value = from_json(value)
        except ValueError:  # also nested without end, or with half of a character
            return None
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    turns: list[Message] = []
    for given in value:
        if not isinstance(given, Mapping):
            return None
        role, content = given.get("role"), given.get("content")
        if len(given) == 2 and content is not None and role in ROLES:
            turns.append({"role": role, "content": content})  # as most are
            continue
        turn = _turn(given)
        calls = given.get("role") in _CALLING or given.get("from") in _CALLING
        if calls and turns and turns[-1]["role"] == "assistant":
            turns[-1] = _joined(turns[-1], turn)  # a call of its own turn, after what was said
        else:
            turns.append(turn)
    return turns


def _turn(given: Mapping[str, Any]) -> Message:
    """A turn in OpenAI's form; tools and calls that can't be read stay as they are."""
    role = given.get("role") or given.get("from")
    content = given["content"] if given.get("content") is not None else given.get("value")
    turn: Message = {"role": _SHAREGPT.get(str(role), role), "content": content}
    calls = given.get("tool_calls") or given.get("function_call")
    if role in _CALLING:
        turn, calls = {"role": "assistant", "content": ""}, content
    elif role in _OBSERVING:
        turn["role"] = "tool"
    if calls:
        turn["tool_calls"] = _read(parse_calls, calls)
    if content is None and calls:
        turn["content"] = ""
    if turn["role"] == "tool" and isinstance(content, Mapping | list):
        turn["content"] = as_json(without_nulls(content))
    if tools := given.get("tools"):
        turn["tools"] = _read(parse_tools, tools)
    for name in ("tool_call_id", "name"):
        if isinstance(part := given.get(name), str) and part:
            turn[name] = part
    if canonical(given.get("weight")) == "0" or given.get("train") is False:
        turn["weight"] = 0
    return turn


def _read(parse: Callable[[Any], list[Any]], value: Any) -> Any:
    try:
        return parse(value)
    except DataError:
        return value


def _joined(said: Message, called: Message) -> Message:
    """An answer and the call after it as one."""
    both = (said.get("tool_calls") or [], called["tool_calls"])
    unread = next((calls for calls in both if not isinstance(calls, list)), None)
    return {**said, "tool_calls": [*both[0], *both[1]] if unread is None else unread}


def _wrong_tools(turn: Message, number: int) -> str | None:
    """Why the tools or calls of a turn can't be read."""
    for name, parse in (("tools", parse_tools), ("tool_calls", parse_calls)):
        if name in turn:
            try:
                parse(turn[name])
            except DataError as error:
                return say("turn {n}, {name}: {error}", n=number, name=name, error=error)
    return None


def _wrong_order(roles: Sequence[str]) -> str | None:
    """What is wrong with the order in which the roles speak."""
    for number, role in enumerate(roles[1:], 2):
        if role == "system":
            return say("turn {n} is of the system, which speaks first or not at all", n=number)
        if role == roles[number - 2] and role != "tool":
            return say(
                "turns {n} and {m} are both of the {role}; join them",
                n=number - 1,
                m=number,
                role=role,
            )
    spoken = [role for role in roles if role != "system"]
    if roles[0] == "assistant":
        return say(
            "begins with the assistant: that turn is read, and learned only after a system turn; "
            "the user asks first"
        )
    if spoken and spoken[0] != "user":
        return say("begins with the {role}; the user asks first", role=spoken[0])
    return None


def wrong_order(turns: Sequence[Message]) -> bool:
    """Whether the roles of `turns` don't take turns."""
    return _wrong_order([turn["role"] for turn in turns]) is not None


def parse_question(value: Any, where: str) -> list[Message]:
    """The conversation in `value` up to the answer that is wanted, as `parse_messages` reads it.

    Raises DataError, naming `where`, when it is none, or its last turn is an answer already.
    """
    turns = _parsed(value, where, ("wrong_roles", "non_text_turns", "wrong_tools"))
    if not turns or turns[-1]["role"] in ("assistant", "system"):
        said = say("holds no turn")
        if turns:
            said = say("ends with the {role}", role=turns[-1]["role"])
        raise DataError("{where}: {said}; end with what the user asks.", where=where, said=said)
    if says_nothing(turns[-1]):
        raise DataError("{where}: the last turn is empty.", where=where)
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
                "the base model's head doesn't read one hidden state for each token, so "
                "it can't be trained on chats: choose another model as model.name."
            )
        return inputs[0][positions]

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
