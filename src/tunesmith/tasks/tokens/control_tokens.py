"""Control tokens that stand in texts: encoded as the text they are, never obeyed.

A tokenizer takes `<|im_end|>` in what a user says for the token that ends a turn, so that a text
could open a turn of the system. `hidden` puts a mark into each such place before a conversation is
rendered, and `encode` leaves the mark out of the tokens: the text stays, the control token is gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

THOUGHTS = ("<think>", "</think>")
"""What stands around a model's thoughts. They may be written in data, and open no turn."""
_THOUGHTS = re.compile("|".join(map(re.escape, THOUGHTS)))
_MARK = "\U000f5ec7"
"""A character of private use, which no text has."""


Tokens = list[tuple[int, tuple[int, int]]]
"""Tokens of a text, each with its place: begin and end, in characters."""


class ControlTokens:
    """The control tokens of a tokenizer and of its chat format."""

    def __init__(self, tokenizer: Any, formatted: str = "") -> None:
        """`formatted` is a conversation in the chat format, which may have tokens of its own."""
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        named = set(tokenizer.all_special_tokens)  # of which some tokenizers don't say `special`
        self._thinks = bool(formatted) and (
            bool(_THOUGHTS.search(tokenizer.get_chat_template()))
            or any(token.content in THOUGHTS for token in added.values())
        )
        texts = {
            token.content
            for token in added.values()
            if len(token.content.strip()) > 1
            and token.content not in THOUGHTS
            and (
                token.special
                or token.content in named
                or (token.content in formatted and not token.content.isalnum())
            )
        }
        unknown = tokenizer.unk_token_id  # what any text may become
        self.ids = frozenset(
            number for number, token in added.items() if token.content in texts
        ) - {unknown}
        """The control tokens but the one for what is unknown, which stands for text too."""
        longest_first = sorted(texts, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def first(self, text: str) -> str | None:
        """The first control token that stands in `text`."""
        found = self._pattern.search(text)
        return found[0] if found else None

    def hidden(self, text: str) -> str:
        """`text` with a mark in each control token, which `encode` takes out again."""
        return self._pattern.sub(_marked, text)

    def hidden_with(self, text: str, more: re.Pattern[str]) -> str:
        """`hidden`, with a mark in what matches `more` too."""
        return self.hidden(more.sub(_marked, text))

    def hidden_thoughts(self, text: str) -> str:
        """`hidden` for what is said after a thought, in which none begins or ends any more."""
        return self.hidden(_THOUGHTS.sub(_marked, text) if self._thinks else text)

    def marks(self, text: str) -> bool:
        """Whether `hidden` put a mark into `text`."""
        return _MARK in text

    def through_first(self, text: str) -> str | None:
        """`text` up to the end of the first control token in it; None where there is none."""
        found = self._pattern.search(text)
        return text[: found.end()] if found else None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts in the chat format, in which marks stand where `hidden` put them."""
        plain = [text for text in texts if _MARK not in text]
        ids = iter(self._ids(plain))
        return [
            next(ids) if _MARK not in text else [token for token, _ in self._without_marks(text)]
            for text in texts
        ]

    def tokens(self, text: str) -> Tokens:
        """The tokens of `text`, with no control token among them."""
        hidden = self.hidden(text)
        found = self._without_marks(hidden)
        # What the tokenizer's normalizer makes a control token of, as of wide letters.
        while places := [b for token, (a, b) in found if token in self.ids and b > a + 1]:
            for end in reversed(places):
                hidden = f"{hidden[: end - 1]}{_MARK}{hidden[end - 1 :]}"
            found = self._without_marks(hidden)
        return [
            (token, (begin - hidden.count(_MARK, 0, begin), end - hidden.count(_MARK, 0, end)))
            for token, (begin, end) in found
        ]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def _without_marks(self, text: str) -> Tokens:
        """The tokens of `text` but those of its marks; of its pieces, where a token crosses one."""
        found = self._placed(text)
        spans = [text[begin:end] for _, (begin, end) in found]
        if self._tokenizer.is_fast and all(s == _MARK or _MARK not in s for s in spans):
            return [one for one, span in zip(found, spans, strict=True) if span != _MARK]
        apart, start = [], 0
        for piece in text.split(_MARK):
            apart += [(n, (start + a, start + b)) for n, (a, b) in self._placed(piece)]
            start += len(piece) + 1
        return apart

    def _placed(self, text: str) -> Tokens:
        """The tokens of `text`; all of them at its begin where the tokenizer tells no places."""
        if not self._tokenizer.is_fast:
            return [(token, (0, 0)) for token in self._ids([text])[0]]
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _marked(found: re.Match[str]) -> str:
    return found[0][0] + _MARK + found[0][1:]
