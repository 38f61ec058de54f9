"""How well a tokenizer knows the script of texts: unknown tokens, bytes, letters one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Kind = Literal["known", "unknown", "byte", "letter"]

_LOST = "\ufffd"
_WORDS = (
    range(0x2E80, 0xA000),
    range(0xAC00, 0xD7B0),
    range(0xF900, 0xFB00),
    range(0x20000, 0x33480),
)
"""Characters that may stand for a word: Chinese, Japanese and Korean ones."""


@dataclass(frozen=True)
class Shares:
    """Of all tokens of some texts, how many tell little of them: shares from 0 to 1."""

    unknown: float
    """Tokens that stand for whatever the tokenizer doesn't know."""
    byte: float
    """Tokens that are a part of one character."""
    letter: float
    """Tokens that are one letter, of an alphabet that is not English."""


class Vocabulary:
    """What the tokens of a tokenizer are."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self.kind = lru_cache(1 << 17)(self._kind)
        """What a token is, by its id."""

    def is_special(self, token: int) -> bool:
        """Whether the token marks places, such as the beginning of a text."""
        return token in self._special

    def text(self, token: int) -> str:
        """The token alone, a space at its beginning kept; � where it is a part of a character."""
        decoded = str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
        written = str(self._tokenizer.convert_ids_to_tokens(token))
        spaced = written.startswith("▁") and not decoded.startswith(" ")
        return f" {decoded}" if spaced else decoded

    def shares(self, texts: Sequence[str]) -> Shares:
        """How well the tokenizer knows `texts`; all 0 where they have no tokens."""
        encoded = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        kinds = [self.kind(token) for ids in encoded["input_ids"] for token in ids]
        total = max(len(kinds), 1)
        unknown, byte, letter = (
            kinds.count(kind) / total for kind in ("unknown", "byte", "letter")
        )
        return Shares(unknown, byte, letter)

    def _kind(self, token: int) -> Kind:
        if token == self._tokenizer.unk_token_id and not self._stands_for_others(token):
            return "unknown"
        text = self.text(token)
        if _LOST in text:
            return "byte"
        bare = text.strip().removeprefix("##")
        foreign = len(bare) == 1 and bare.isalpha() and not bare.isascii()
        return "letter" if foreign and not any(ord(bare) in each for each in _WORDS) else "known"

    def _stands_for_others(self, token: int) -> bool:
        """Whether the token for what is unknown is that of the end, as GPT-2's: it knows all."""
        return bool(token == self._tokenizer.eos_token_id)
