"""A model's chat format: conversations to tokens, the same when trained, judged and asked.

A conversation's prompt is rendered with the answer's turn opened, exactly as it is asked later, and
tokenized separately; the answer follows it. What closes an answer in the format ends it: the first
control token after it, which is learned with it and which generation stops at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import takewhile
from typing import Any

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.chat import Message
from tunesmith.tasks.chat_template import (
    Thinking,
    adapted,
    open_thought,
    parted,
    without_thought,
)
from tunesmith.tasks.control_tokens import THOUGHTS, ControlTokens

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


class ChatFormat:
    """The chat format of a tokenizer's model."""

    def __init__(self, tokenizer: Any, thinking: Thinking = "off", day: date | None = None) -> None:
        """Raises ModelError when answers can't be separated from the rest, or could not end."""
        self._tokenizer = tokenizer
        self._thinking = thinking
        self.template = adapted(
            tokenizer.get_chat_template(),
            thinking,
            day,
            lambda template: self._render(_QUESTION, opened=True, template=template),
        )
        asked = self._render(_QUESTION, opened=True)
        whole = self._render([*_QUESTION, {"role": "assistant", "content": _ANSWER}], opened=False)
        head, found, closing = whole.rpartition(_ANSWER)
        self._extra = "" if head.startswith(asked) else asked.removeprefix(head)
        if not found or (self._extra and not _EMPTY_THOUGHT.fullmatch(self._extra)):
            raise ModelError(_REWRITES)
        self._lead = head.removeprefix(asked) if not self._extra else ""
        self._closing = closing
        self.control = ControlTokens(tokenizer, asked + whole)
        end = self.control.through_first(closing)
        self.has_end = end is not None
        """Whether the template ends answers itself; else the tokenizer's end token does."""
        if end is None and tokenizer.eos_token is None:
            raise ModelError(
                "the model's chat template ends no answer, and its tokenizer has no end token: the "
                "adapter could not learn to stop."
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
        texts = [self._prompt(self._hidden(turns)) for turns in conversations]
        return self.control.encode(texts)

    def answers(
        self, conversations: Sequence[Sequence[Message]], last: Sequence[int] | None = None
    ) -> list[list[Turn]]:
        """Each conversation's answers in their order, with what each of them answers.

        With `last` only so many of them, the last ones of each.
        """
        hidden = [self._hidden(turns) for turns in conversations]
        places = [_answers_in(turns) for turns in hidden]
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
        merged = [
            n for n, ids in enumerate(prompts) if wholes[n][: len(ids)] != ids
        ]  # fmt: skip
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
        if any(self.control.marks(turn["content"]) for turn in turns):
            return None  # which may change tokens far from them
        lead = list(turns[:1]) if turns[0]["role"] == "system" else []
        windows = [(turns, places[:2])]
        for before, place in zip(places, places[2:], strict=False):
            begin = before + 1
            while begin > len(lead) and turns[begin]["role"] != "user":
                begin -= 1
            window = [*lead, *turns[begin : place + 1]]
            windows.append((window, _answers_in(window)[-2:]))
        checked = [n for n in range(len(places)) if n & (n - 1) == 0 or n == len(places) - 1]
        try:
            pairs = self._rendered(windows)
            true = self._rendered([(turns, [places[n] for n in checked])])[0]
        except ModelError:  # a format that takes whole conversations only
            return None
        found = list(pairs[0])
        for one, other in pairs[1:]:
            same = _common(one.prompt, other.prompt)
            kept = len(found[-1].prompt) - (len(one.prompt) - same)
            if found[-1].answer != one.answer or found[-1].prompt[kept:] != one.prompt[same:]:
                return None
            found.append(Turn(found[-1].prompt[:kept] + other.prompt[same:], other.answer))
        return found if [found[n] for n in checked] == true else None

    def fitted(self, turns: Sequence[Message], max_length: int) -> tuple[list[int], bool]:
        """Token ids as `prompts` gives them, and whether they were cut to `max_length`.

        Too long, the last turn loses its end, so that the chat format stays whole. Raises DataError
        when the turns before it leave no room.
        """
        (ids,) = self.prompts([turns])
        if len(ids) <= max_length:
            return ids, False
        said = turns[-1]["content"].strip()
        kept, longest = 0, len(said)
        fitting: list[int] | None = None
        while kept < longest:  # the longest begin that fits
            middle = (kept + longest + 1) // 2
            shorter = [*turns[:-1], {**turns[-1], "content": said[:middle]}]
            (found,) = self.prompts([shorter])
            if len(found) <= max_length:
                kept, fitting = middle, found
            else:
                longest = middle - 1
        if fitting is None:
            raise DataError(
                f"the conversation has {len(ids):,} tokens, of which {max_length:,} fit beside "
                "the answer; leave out earlier turns, or ask for a shorter answer."
            )
        return fitting, True

    # -- tokens to text ----------------------------------------------------------------------

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Answers as text, without space around them."""
        return [self.decoded(tokens).strip() for tokens in answers]

    def decoded(self, tokens: Sequence[int], *, whole: bool = True) -> str:
        """What is to be seen of an answer's tokens; with `whole` false more of it is to come."""
        ends = self.ends  # which need not be special in the model's tokenizer
        said = list(takewhile(lambda token: token not in ends, tokens))
        text = str(self._tokenizer.decode(said, skip_special_tokens=True))
        if self._thinking == "off":
            return without_thought(text, whole=whole)
        return self.opened + text

    @property
    def opened(self) -> str:
        """What of an answer the prompt holds already: the begin of a thought that is kept."""
        return "" if self._thinking == "off" else self._extra.lstrip()

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether an answer ended with its end token."""
        return not set(self.ends).isdisjoint(tokens)

    # -- conversations to text ---------------------------------------------------------------

    def _hidden(self, turns: Sequence[Message]) -> list[Message]:
        """`turns` as they are rendered: no control tokens, and no thoughts where they are off."""
        return [{**turn, "content": self._hidden_text(turn)} for turn in turns]

    def _hidden_text(self, turn: Message) -> str:
        if turn["role"] != "assistant":
            return self.control.hidden(turn["content"])
        thought, said = parted(turn["content"])
        return ("" if self._thinking == "off" else self.control.hidden(thought)) + (
            self.control.hidden_thoughts(said)
        )

    def _prompt(self, turns: Sequence[Message]) -> str:
        return self._render(turns, opened=True)

    def _texts(self, turns: Sequence[Message], place: int) -> tuple[str, str]:
        """Prompt and answer of the answer at `place`."""
        prompt = self._prompt(turns[:place])
        return prompt, self._answer(turns[: place + 1], prompt) + self._end

    def _answer(self, turns: Sequence[Message], prompt: str) -> str:
        """The last turn as it follows `prompt`, without what closes it."""
        whole = self._render(turns, opened=False)
        head = prompt.removesuffix(self._extra)
        if not whole.startswith(head):
            # Something before the answer is written otherwise once there is one.
            tried = self._render([*turns[:-1], {**turns[-1], "content": _ANSWER}], opened=False)
            head = tried.rpartition(_ANSWER)[0].removesuffix(self._lead)
        if not whole.startswith(head) or not whole.endswith(self._closing):
            raise ModelError(_REWRITES)
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
        from jinja2 import TemplateError

        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(turns),
                    chat_template=template or self.template,
                    tokenize=False,
                    add_generation_prompt=opened,
                )
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template refuses a conversation: {error}"
            ) from error


def _answers_in(turns: Sequence[Message]) -> list[int]:
    """Where in `turns` the answers are."""
    return [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


_REWRITES = (
    "the model's chat template rewrites the text before an answer, so the answer can't be "
    "separated from the rest; choose another variant of the model."
)
