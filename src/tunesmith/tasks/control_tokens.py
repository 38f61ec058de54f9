"""Control tokens of a chat format that stand in texts: encoded as the text they are, never obeyed.

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


class ControlTokens:
    """The control tokens of a tokenizer and of its chat format."""

    def __init__(self, tokenizer: Any, formatted: str) -> None:
        """`formatted` is a conversation in the chat format, which may have tokens of its own."""
        self._tokenizer = tokenizer
        added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        self._thinks = bool(_THOUGHTS.search(tokenizer.get_chat_template())) or any(
            thought in added for thought in THOUGHTS
        )
        texts = {
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if len(token.content.strip()) > 1
            and token.content not in THOUGHTS
            and (token.special or (token.content in formatted and not token.content.isalnum()))
        }
        longest_first = sorted(texts, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def first(self, text: str) -> str | None:
        """The first control token that stands in `text`."""
        found = self._pattern.search(text)
        return found[0] if found else None

    def hidden(self, text: str) -> str:
        """`text` with a mark in each control token, which `encode` takes out again."""
        return self._pattern.sub(_marked, text)

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
        return [next(ids) if _MARK not in text else self._without_marks(text) for text in texts]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def _without_marks(self, text: str) -> list[int]:
        """The tokens of `text` but those of its marks; of its pieces, where a token crosses one."""
        if self._tokenizer.is_fast:
            encoded = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            spans = [text[begin:end] for begin, end in encoded["offset_mapping"]]
            if all(span == _MARK or _MARK not in span for span in spans):
                found = zip(encoded["input_ids"], spans, strict=True)
                return [token for token, span in found if span != _MARK]
        return [token for ids in self._ids(text.split(_MARK)) for token in ids]


def _marked(found: re.Match[str]) -> str:
    return found[0][0] + _MARK + found[0][1:]
