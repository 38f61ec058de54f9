"""A model's chat format: conversations to tokens, the same when trained, judged and asked.

A conversation's prompt is rendered with the answer's turn opened, exactly as it is asked later, and
tokenized separately; the answer follows it. What closes an answer in the format ends it: the first
control token after it, which is learned with it and which generation stops at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby, takewhile
from typing import Any

from tunesmith.errors import ModelError, RefusedChatError
from tunesmith.messages import say
from tunesmith.tasks.chats.messages import (
    PARTS,
    Message,
    answers_in,
    common_length,
    tools_of,
    with_tools,
)
from tunesmith.tasks.chats.template import (
    Thinking,
    adapted,
    open_thought,
    parted,
    said_after_thought,
    whole_template,
    without_thought,
)
from tunesmith.tasks.chats.tool_use import (
    ToolUse,
    tool_use,
    uses_tools,
    with_arguments_as_text,
    with_ids,
)
from tunesmith.tasks.chats.tools import as_json
from tunesmith.tasks.tokens.control_tokens import THOUGHTS, ControlTokens

_QUESTION = [{"role": "user", "content": "zq7question"}]
_ANSWER = "zq8answer"
"""What the format is tried with: words that no template has."""
LONG_CHAT = 8
"""Answers from which on a conversation is not rendered anew for each of them."""
_EMPTY_THOUGHT = re.compile(r"\s*<think>\s*(</think>\s*)?")


@dataclass(frozen=True)
class Turn:
    """An answer of a conversation, and the prompt that it answers, as token ids."""

    prompt: list[int]
    answer: list[int]
    """Its end included."""

    @property
    def length(self) -> int:
        """How many tokens both have."""
        return len(self.prompt) + len(self.answer)


class ChatFormat:
    """The chat format of a tokenizer's model."""

    def __init__(self, tokenizer: Any, thinking: Thinking = "off", day: date | None = None) -> None:
        """Raises ModelError when answers can't be separated from the rest, or could not end."""
        self._tokenizer = tokenizer
        self._thinking = thinking
        self.template = adapted(
            whole_template(tokenizer),
            thinking,
            day,
            lambda template: self._render(_QUESTION, opened=True, template=template),
        )
        try:
            asked = self._render(_QUESTION, opened=True)
            answer = {"role": "assistant", "content": _ANSWER}
            whole = self._render([*_QUESTION, answer], opened=False)
        except RefusedChatError as error:  # what every conversation has
            raise ModelError(str(error)) from error
        head, found, closing = whole.rpartition(_ANSWER)
        self._extra = "" if head.startswith(asked) else asked.removeprefix(head)
        if not found or (self._extra and not _EMPTY_THOUGHT.fullmatch(self._extra)):
            raise ModelError(_REWRITES)
        self._lead = head.removeprefix(asked) if not self._extra else ""
        self._closing = closing
        self._plain = asked + whole
        self.control = ControlTokens(tokenizer, self._plain)
        end = self.control.through_first(closing)
        self.has_end = end is not None
        """Whether the template ends answers itself; else the tokenizer's end token does."""
        if end is None and tokenizer.eos_token is None:
            raise ModelError(
                "the model's chat template ends no answer, and its tokenizer has no end "
                "token: the adapter could not learn to stop."
            )
        self._end = end or str(tokenizer.eos_token)
        (ids,) = self.control.encode([self._end])
        self.end = ids[-1]
        """The token that ends an answer."""

    @property
    def ends(self) -> list[int]:
        """The tokens that generation stops at: the end of an answer, and that of a text."""
        of_text = self._tokenizer.eos_token_id
        return sorted({self.end} | ({of_text} if of_text is not None else set()))

    def hide_end(self) -> None:
        """Make the end of an answer special in the tokenizer, which then leaves it out of texts.

        Whatever decodes with the saved tokenizer shows what is shown here.
        """
        end = self._tokenizer.added_tokens_decoder.get(self.end)
        if end is not None and not end.special:
            end.special = True
            self._tokenizer.add_tokens([end], special_tokens=True)

    # -- conversations to tokens -------------------------------------------------------------

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of conversations whose next turn is the answer, that turn opened."""
        hidden = map(self._hidden, conversations)
        return self.control.encode([self._render(turns, opened=True) for turns in hidden])

    def answers(
        self, conversations: Sequence[Sequence[Message]], last: Sequence[int] | None = None
    ) -> list[list[Turn]]:
        """Each conversation's answers in their order, with what each of them answers.

        With `last` only so many of them, the last ones of each.
        """
        hidden = [self._hidden(turns) for turns in conversations]
        places = [answers_in(turns) for turns in hidden]
        if last is not None:
            places = [found[-count:] for found, count in zip(places, last, strict=True)]
        long = {
            number: turns
            for number, found in enumerate(places)
            if len(found) > LONG_CHAT
            and (turns := self._stitched(hidden[number], found)) is not None
        }
        rest = [number for number in range(len(hidden)) if number not in long]
        short = self._rendered([(hidden[number], places[number]) for number in rest])
        found = {**long, **dict(zip(rest, short, strict=True))}
        return [found[number] for number in range(len(hidden))]

    def _rendered(
        self, wanted: Sequence[tuple[Sequence[Message], Sequence[int]]]
    ) -> list[list[Turn]]:
        """The answers at those places of those conversations, each rendered from the begin on."""
        texts = [self._texts(turns, place) for turns, places in wanted for place in places]
        prompts = self.control.encode([prompt for prompt, _ in texts])
        wholes = self.control.encode([prompt + answer for prompt, answer in texts])
        # Where the answer's begin would merge with the prompt's end, as a line end and the spaces
        # after it, that token is never in a prompt: the answer is tokenized separately.
        merged = [n for n, ids in enumerate(prompts) if wholes[n][: len(ids)] != ids]
        apart = dict(zip(merged, self.control.encode([texts[n][1] for n in merged]), strict=True))
        turns = iter(
            Turn(ids, apart[n] if n in apart else wholes[n][len(ids) :])
            for n, ids in enumerate(prompts)
        )
        return [[next(turns) for _ in places] for _, places in wanted]

    def _stitched(self, turns: Sequence[Message], places: Sequence[int]) -> list[Turn] | None:
        """The answers at `places` of a long conversation, rendered two exchanges at a time.

        Rendered from the begin on, the work would grow with the square of the turns. So what each
        prompt adds to the one before is taken from a rendering of these two alone. None where
        that isn't what the format writes: answers are compared with those rendered from the begin
        on each time that their number has doubled, and the last.
        """
        if any(self.control.marks(as_json(turn)) for turn in turns):
            return None  # which may change tokens far from them
        lead = list(turns[:1]) if turns[0]["role"] == "system" else []
        tools = tools_of(turns)
        windows = [(turns, places[:2])]
        for before, place in zip(places, places[2:], strict=False):
            begin = before + 1
            while begin > len(lead) and turns[begin]["role"] != "user":
                begin -= 1
            window = with_tools([*lead, *turns[begin : place + 1]], tools)
            windows.append((window, answers_in(window)[-2:]))
        checked = [n for n in range(len(places)) if n & (n - 1) == 0 or n == len(places) - 1]
        try:
            pairs = self._rendered(windows)
            true = self._rendered([(turns, [places[n] for n in checked])])[0]
        except ModelError:  # a format that takes whole conversations only
            return None
        found = list(pairs[0])
        for one, other in pairs[1:]:
            same = common_length(one.prompt, other.prompt)
            kept = len(found[-1].prompt) - (len(one.prompt) - same)
            if found[-1].answer != one.answer or found[-1].prompt[kept:] != one.prompt[same:]:
                return None
            found.append(Turn(found[-1].prompt[:kept] + other.prompt[same:], other.answer))
        return found if [found[n] for n in checked] == true else None

    # -- tokens to text ----------------------------------------------------------------------

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Answers as text, without space around them."""
        return [self.decoded(tokens).strip() for tokens in answers]

    def decoded(self, tokens: Sequence[int], *, whole: bool = True) -> str:
        """What is to be seen of an answer's tokens; with `whole` false more of it is to come."""
        ends = self.ends  # which need not be special in the model's tokenizer
        said = list(takewhile(lambda token: token not in ends, tokens))
        text = self._read(said)
        if self._thinking == "off":
            return without_thought(text, whole=whole)
        return self.opened + text

    def said(self, turns: Sequence[Message]) -> str:
        """The answer that ends a conversation, as its reader gets it."""
        if turns[-1].get("tool_calls"):
            return self.texts([self.answers([turns], [1])[0][-1].answer])[0]
        answer: str = turns[-1]["content"].strip()
        return said_after_thought(answer) if self._thinking == "off" else answer

    def meaning(self, text: str) -> tuple[str, list[Any]]:
        """What two answers must have in common to be the same: words after a thought, and calls."""
        form = self.tool_use.form
        said, calls = form.parted(text) if form else (text, [])
        return said_after_thought(said), [call["function"] for call in calls]

    @property
    def opened(self) -> str:
        """What of an answer the prompt holds already: the begin of a thought that is kept."""
        return "" if self._thinking == "off" else self._extra.lstrip()

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether an answer ended with its end token."""
        return not set(self.ends).isdisjoint(tokens)

    @cached_property
    def tool_use(self) -> ToolUse:
        """What the template does with tools and their calls."""

        def answer(turns: Sequence[Message]) -> str:
            return self._answer(turns, self._render(turns[:-1], opened=True))

        return tool_use(lambda turns, opened: self._render(turns, opened=opened), answer)

    @cached_property
    def _tool_marks(self) -> tuple[re.Pattern[str], dict[int, str]]:
        """What calls are written with: as a pattern, and those tokens that decoding leaves out."""
        added = self._tokenizer.added_tokens_decoder
        marks = {n: added[n] for n in self.control.encode([self.tool_use.marks])[0] if n in added}
        known = set(self.control.encode([self._plain])[0])
        own = {n: token for n, token in marks.items() if n not in known}
        pattern = "|".join(re.escape(token.content) for token in own.values()) or r"(?!)"
        return re.compile(pattern), {n: token.content for n, token in own.items() if token.special}

    def _read(self, tokens: Sequence[int]) -> str:
        """`tokens` as text: no control tokens but those that begin a call."""
        shown = self._tool_marks[1]
        runs = [list(run) for _, run in groupby(tokens, key=shown.__contains__)]
        return "".join(
            "".join(shown[token] for token in run)
            if run[0] in shown
            else str(self._tokenizer.decode(run, skip_special_tokens=True))
            for run in runs
        )

    def unwritten(self, turns: Sequence[Message]) -> str | None:
        """Why a conversation with tools can't be learned or answered with this template."""
        if not uses_tools(turns):
            return None
        if lacking := self.tool_use.lacks(turns):
            return say("the model's chat template writes no {what}", what=lacking)
        try:
            whole = self._render(self._hidden(turns), opened=False)
        except ModelError as error:
            return str(error)
        calls = (call for turn in turns for call in turn.get("tool_calls") or ())
        names = (call["function"]["name"] for call in calls)
        lost = next((name for name in names if self._hidden_part(name) not in whole), None)
        if lost is None:
            return None
        return say("the model's chat template doesn't write the call of {name}", name=lost)

    def left_out(self, turns: Sequence[Message]) -> str | None:
        """What the template leaves out of a conversation, which makes sense without it."""
        if tools_of(turns) and not self.tool_use.tools:
            return say("the model's chat template writes no {what}", what=say("tools"))
        beside = any(turn.get("tool_calls") and turn["content"].strip() for turn in turns)
        if beside and not self.tool_use.beside:
            return say("the model's chat template leaves out the text beside tool calls")
        return None

    # -- conversations to text ---------------------------------------------------------------

    def _hidden(self, turns: Sequence[Message]) -> list[Message]:
        """`turns` as they are rendered: no control tokens, and no thoughts where they are off."""
        numbered = with_ids(turns) if uses_tools(turns) else turns
        return [self._hidden_turn(turn) for turn in numbered]

    def _hidden_turn(self, turn: Message) -> Message:
        said: Message = {"role": turn["role"], "content": self._hidden_text(turn)}
        beside = (*PARTS, "weight")
        said |= {name: self._hidden_part(turn[name]) for name in beside if name in turn}
        if said.get("tool_calls"):
            if self.tool_use.as_text:
                said["tool_calls"] = [with_arguments_as_text(call) for call in said["tool_calls"]]
            said["content"] = said["content"] or self.tool_use.silence
        return said

    def _hidden_part(self, value: Any) -> Any:
        """A value within tools and calls without control tokens."""
        if isinstance(value, str):
            return self.control.hidden_with(value, self._tool_marks[0])
        if isinstance(value, Mapping):
            return {
                self._hidden_part(name): self._hidden_part(part) for name, part in value.items()
            }
        return [self._hidden_part(part) for part in value] if isinstance(value, list) else value

    def _hidden_text(self, turn: Message) -> str:
        if turn["role"] in ("user", "tool"):
            return self.control.hidden_with(turn["content"], self._tool_marks[0])
        if turn["role"] != "assistant":
            return self.control.hidden(turn["content"])
        thought, said = parted(turn["content"])
        return ("" if self._thinking == "off" else self.control.hidden(thought)) + (
            self.control.hidden_thoughts(said)
        )

    def _texts(self, turns: Sequence[Message], place: int) -> tuple[str, str]:
        """Prompt and answer of the answer at `place`."""
        prompt = self._render(turns[:place], opened=True)
        return prompt, self._answer(turns[: place + 1], prompt) + self._end

    def _answer(self, turns: Sequence[Message], prompt: str) -> str:
        """The last turn as it follows `prompt`, without what closes it."""
        whole = self._render(turns, opened=False)
        head = prompt.removesuffix(self._extra)
        if not whole.startswith(head):
            # Something before the answer is written otherwise once there is one.
            answer = {"role": "assistant", "content": _ANSWER}
            tried = self._render([*turns[:-1], answer], opened=False)
            head = tried.rpartition(_ANSWER)[0].removesuffix(self._lead)
        if not whole.startswith(head) or not whole.endswith(self._closing):
            raise RefusedChatError(_REWRITES)
        said = whole[len(head) : len(whole) - len(self._closing)]
        if not open_thought(self._extra):
            return said
        # The prompt opens the thought, which the template leaves out of conversations.
        thought = parted(turns[-1]["content"])[0].strip()
        thought = thought.removeprefix(THOUGHTS[0]).removesuffix(THOUGHTS[1]).strip("\n")
        return f"{thought}\n{THOUGHTS[1]}\n\n{without_thought(said).lstrip()}"

    def _render(
        self, turns: Sequence[Message], *, opened: bool, template: str | None = None
    ) -> str:
        """A conversation as the template writes it. Raises ModelError where it refuses."""
        from jinja2 import TemplateError

        def rendered(turns: Sequence[Message]) -> str:
            return str(
                self._tokenizer.apply_chat_template(
                    [{name: turn[name] for name in turn if name != "tools"} for turn in turns],
                    tools=tools_of(turns) or None,
                    chat_template=template or self.template,
                    tokenize=False,
                    add_generation_prompt=opened,
                )
            )

        try:
            if not uses_tools(turns):
                return rendered(turns)
            try:
                return rendered(turns)
            except TemplateError:  # perhaps of ids that are longer than it wants
                return rendered(with_ids(turns, anew=True))
        except (
            TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError
        ) as error:  # fmt: skip  # a template is a program, which may stumble as any other
            raise RefusedChatError(
                "the model's chat template refuses a conversation: {error}", error=error
            ) from error


_REWRITES = say(
    "the model's chat template rewrites the text before an answer, so the "
    "answer can't be separated from the rest; choose another variant of the "
    "model."
)
